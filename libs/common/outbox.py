"""The second half of "commit the row with the message in it, publish, mark": what a crash in between repeats."""

from __future__ import annotations

from libs.common.bus.envelope import Outgoing, Publisher
from libs.common.failpoints import failpoint
from libs.common.state import PartRow, StageRow, State


class Outbox:
    """Publishes the message recorded in a committed row. Call it after every commit, message or none.

    A crash before the publish leaves the row unmarked: the redelivery of the incoming message comes here again with the
    recorded row and publishes. A crash between publish and mark publishes a second time under the same message id,
    which the broker's duplicate detection and the consumers both recognise. Raises BusError, StateError.
    """

    def __init__(self, publisher: Publisher, state: State) -> None:
        self._publisher = publisher
        self._state = state

    async def release_part(self, part: PartRow) -> None:
        """Publish what the part's row says, unless it is marked published; then mark it."""
        if part.outgoing is not None and not part.published:
            await failpoint("after_commit", stage=part.stage, part=part.part)
            await self._publisher.publish(Outgoing.from_json(part.outgoing))
            await failpoint("after_publish", stage=part.stage, part=part.part)
            await self._state.mark_part_published(part.run_id, part.stage, part.part)

    async def release_stage(self, stage: StageRow) -> None:
        """Publish what the stage's row says, unless it is marked published; then mark it."""
        if stage.outgoing is not None and not stage.published:
            await failpoint("after_commit", stage=stage.stage)
            await self._publisher.publish(Outgoing.from_json(stage.outgoing))
            await failpoint("after_publish", stage=stage.stage)
            await self._state.mark_stage_published(stage.run_id, stage.stage)
