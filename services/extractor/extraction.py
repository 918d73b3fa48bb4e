"""One week from the API into numbered parts, each announced as soon as it cannot be the last.

The last part is held back until the number of parts is recorded, so that whoever finishes it knows that it was the
last. Everything that a restart needs lies in the part rows: a part that is recorded is never fetched again.

Two deliveries of one request may be at work at once (a lock was lost, a message sent twice). Each stores files of its
own; whoever records a part first counts, and the other goes on from that record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from libs.common.blobs import store
from libs.common.bus.envelope import Outgoing
from libs.common.failpoints import failpoint
from libs.common.lake import paths
from libs.common.messages import EventsExtracted
from libs.common.service import Kit
from libs.common.state import PartRow, PartsTotalError, Run, Stage, StageStatus
from services.extractor.adapters import RawPartWriter
from services.extractor.pages import Page
from services.extractor.paging import Source, named_pages, numbered_pages
from services.extractor.progress import Progress
from services.extractor.settings import ExtractorSettings


class _OvertakenError(Exception):
    """The records say something that this attempt did not write."""


class Extraction:
    """Takes one run from wherever it stands to the end of its EXTRACT stage. Use once.

    `attempt` is the stage's count of starts, which no other attempt has.
    """

    def __init__(self, run: Run, kit: Kit, settings: ExtractorSettings, source: Source, *, attempt: int = 1) -> None:
        self._run = run
        self._kit = kit
        self._settings = settings
        self._source = source
        self._attempt = attempt
        self._progress = Progress()
        self._held: PartRow | None = None
        self._inherited = False
        """Whether the held part comes from an earlier delivery, which may have announced it before it ended."""
        self._writer: RawPartWriter | None = None

    async def finish(self) -> None:
        """Fetch what is missing, announce every part, close the stage. Lets errors of source, lake and state pass."""
        while True:
            try:
                return await self._go_on()
            except _OvertakenError:
                self._kit.log.info("extraction_overtaken", attempt=self._attempt)

    async def _go_on(self) -> None:
        """From what is on record to the end."""
        stage = await self._kit.state.get_stage(self._run.run_id, Stage.EXTRACT)
        total = stage.parts_total if stage else None
        recorded = (await self._kit.state.parts(self._run.run_id, Stage.EXTRACT))[:total]
        for part in recorded[:-1]:
            await self._kit.outbox.release_part(part)
        if recorded:
            self._held, self._inherited = recorded[-1], True
            self._progress = Progress.from_details(self._held.details["progress"])
        try:
            if total is None:  # else every part is on record
                await self._fetch()
        finally:
            if self._writer is not None:
                self._writer.discard()
                self._writer = None
        await self._close()

    async def _fetch(self) -> None:
        if self._progress.ended:
            return
        async for page, progress in self._pages():
            self._progress = progress
            if page.records:
                await self._release_held()
                await self._open_writer().add(page, self._kit.clock.now())
            if progress.ended or self._part_is_full():
                await self._record_part()

    def _pages(self) -> AsyncIterator[tuple[Page, Progress]]:
        settings = self._settings
        if settings.api_pagination != "page":
            return named_pages(self._source, self._run.week, self._progress)
        return numbered_pages(
            self._source,
            self._run.week,
            self._progress,
            concurrency=settings.api_concurrency,
            page_size=settings.api_page_size,
        )

    @property
    def _index(self) -> int:
        """The part that is being written: the one after the last recorded."""
        return 0 if self._held is None else self._held.part + 1

    def _open_writer(self) -> RawPartWriter:
        if self._writer is None:
            name = f"{self._run.run_id}-raw-{self._index:05d}-{self._attempt:03d}.parquet"
            self._writer = RawPartWriter(self._kit.scratch / name)
        return self._writer

    def _part_is_full(self) -> bool:
        writer = self._writer
        return writer is not None and (
            writer.events >= self._settings.part_max_events or writer.bytes >= self._settings.part_max_bytes
        )

    async def _record_part(self) -> None:
        """Store and record the open part.

        Where the end comes on a part's edge there is none: the held part is the last. Unless it may have been announced
        already, when there was more to come than there is now: then an empty part is the last, as in an empty week.
        """
        if self._writer is None and self._held is not None and not self._inherited:
            return
        await self._release_held()
        writer, index = self._open_writer(), self._index
        await writer.close()
        path = paths.raw_part(self._run.run_id, index, self._attempt)
        raw = await store(self._kit.lake, writer.path, path, writer.pages)
        announcement = EventsExtracted(
            run_id=self._run.run_id,
            pipeline_name=self._run.pipeline_name,
            week_start=self._run.week.start,
            week_end=self._run.week.end,
            correlation_id=self._run.correlation_id,
            part=index,
            raw=raw,
            first_page=writer.first_page,
            last_page=writer.last_page,
        )
        outgoing = Outgoing.of(announcement).to_json()
        await failpoint("after_work", stage=Stage.EXTRACT, part=index)
        self._held = await self._kit.state.record_part(
            self._run.run_id,
            Stage.EXTRACT,
            index,
            self._kit.clock.now(),
            row_count=writer.events,
            details={"pages": writer.pages, "progress": self._progress.to_details()},
            outgoing=outgoing,
        )
        if self._held.outgoing != outgoing:
            raise _OvertakenError
        self._inherited = False
        writer.discard()
        self._writer = None

    async def _release_held(self) -> None:
        """Announce the last recorded part. Safe to repeat."""
        if self._held is not None and not self._held.published:
            await self._kit.outbox.release_part(self._held)
            self._held = await self._kit.state.get_part(self._run.run_id, Stage.EXTRACT, self._held.part)

    async def _close(self) -> None:
        state, progress = self._kit.state, self._progress
        try:
            await state.set_parts_total(self._run.run_id, self._index)
        except PartsTotalError as error:
            raise _OvertakenError from error
        await state.add_run_counts(self._run.run_id, rows_fetched=progress.events)
        await state.finish_stage(
            self._run.run_id,
            Stage.EXTRACT,
            StageStatus.SUCCESS,
            self._kit.clock.now(),
            row_count=progress.events,
            details={
                "pages": progress.next_page - 1,
                "api_total": progress.total,
                "anomalies": list(progress.anomalies),
                "anomaly_count": progress.anomaly_count,
            },
        )
        # Last of all: once every part is announced the run may end, and a redelivery would then find nothing to do.
        await self._release_held()
        if progress.anomaly_count:
            self._kit.log.warning("api_anomalies", count=progress.anomaly_count, first=progress.anomalies[0])
