"""What a message's properties say of its earlier tries, and the delayed copy that is the next one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.common.bus.envelope import Outgoing
from libs.common.bus.ports import Delivery
from libs.common.state import Failure

MAX_LAST_ERROR = 1000
"""Characters of the last error that travel with a copy."""

_COPY_SUFFIX = re.compile(r"#\d+(\.\d+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How often a message was tried before, over all its copies."""

    spent: int
    """Retries used up; 0 on the first delivery."""
    deferrals: int
    """Times it was put off without spending one."""
    first_seen: datetime

    @classmethod
    def of(cls, delivery: Delivery, now: datetime) -> Attempt:
        """Read it from the properties; what is missing or no number counts as a first try."""
        properties = delivery.properties
        return cls(
            spent=_count(properties.get("attempt")),
            deferrals=_count(properties.get("deferrals")),
            first_seen=_time(properties.get("first_seen")) or now,
        )

    def copy(self, delivery: Delivery, *, topic: str, subscription: str, failure: Failure, spend: bool) -> Outgoing:
        """The message again, for this subscription only.

        It needs a new id, or duplicate detection swallows it; the id is deterministic, so that a crash after scheduling
        and before settling schedules the same copy again, which then *is* swallowed.
        """
        spent = self.spent + spend
        deferrals = self.deferrals + (not spend)
        root = _COPY_SUFFIX.sub("", delivery.message_id)
        return Outgoing(
            topic=topic,
            message_id=f"{root}#{spent}.{deferrals}" if deferrals else f"{root}#{spent}",
            body=delivery.body.decode(),
            properties={
                **delivery.properties,
                "target": subscription,
                "attempt": str(spent),
                "deferrals": str(deferrals),
                "first_seen": self.first_seen.isoformat(),
                "last_error": f"{failure.code}: {failure.message}"[:MAX_LAST_ERROR],
            },
        )


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
