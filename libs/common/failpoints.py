"""Places where a test makes the process fail, chosen by the setting `FAILPOINT`; off, and next to free, without it.

    FAILPOINT = POINT [@key=value[,key=value…]] :ACTION [;once=FILE] [;until=FILE] [further ones after a blank]

`POINT` is one of `POINTS`. Conditions compare what the place tells (`part`, `stage`, `kind`), the ids that the log has
of the message in hand (`run_id`, `correlation_id`,
`message_id`), and `service`, the name of the process, because all services of a
demo share one environment. Actions: `kill` (SIGKILL, no clean-up), `raise` (an unclassified exception), `hang` (until
cancelled, or until the file of `until` is there). A point fires once in a process; with `once=FILE`, once for all
processes and restarts that share the file, whoever creates it first.

    FAILPOINT='after_commit@service=loader,part=3:kill;once=/tmp/fired'
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from libs.common.errors import SettingsError

POINTS = (
    "before_work",  # the message is admitted, the handler not yet called
    "after_work",  # in a handler: files are written, the state row is not
    "after_commit",  # the state row is committed with its outgoing message, which is not published
    "after_publish",  # published, not marked so
    "publishing",  # in the gate, between two steps of making a week visible
    "before_settle",  # the handler ended, the message is not settled
    "after_settle",  # settled
    "after_retry_scheduled",  # the delayed copy is sent, the original not settled
    "renew_lock",  # `raise` here is a lock that is lost
)
ACTIONS = ("kill", "raise", "hang")

POLL_SEC = 0.05
"""How often `hang` looks for the file that ends it."""

_GRAMMAR = re.compile(
    r"(?P<point>\w+)(?:@(?P<conditions>[\w=,.\-/]+))?:(?P<action>\w+)(?:;once=(?P<once>[^\s;]+))?(?:;until=(?P<until>[^\s;]+))?"
)


class FailpointError(Exception):
    """A failpoint was reached that raises."""


@dataclass(slots=True)
class _Failpoint:
    point: str
    conditions: dict[str, str]
    action: str
    once: Path | None
    until: Path | None
    fired: bool = field(default=False)

    def matches(self, point: str, facts: dict[str, object]) -> bool:
        return (
            not self.fired
            and point == self.point
            and all(str(facts.get(key)) == wanted for key, wanted in self.conditions.items())
        )

    def claim(self) -> bool:
        """True for whoever gets to fire it."""
        self.fired = True
        if self.once is None:
            return True
        try:
            self.once.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


_armed: list[_Failpoint] = []
_service = ""


def configure(setting: str | None, *, service: str = "") -> None:
    """Arm what the setting says, or nothing. Raises SettingsError for one that would never fire."""
    global _service
    _service = service
    _armed[:] = [_parse(text) for text in (setting or "").split()]


async def failpoint(point: str, **facts: object) -> None:
    """Fail here if the process is told to."""
    if not _armed:
        return
    known = {**structlog.contextvars.get_contextvars(), "service": _service, **facts}
    for armed in _armed:
        if armed.matches(point, known) and armed.claim():
            await _fire(armed)


async def _fire(armed: _Failpoint) -> None:
    match armed.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            await _hang(armed.until)
        case _:
            raise FailpointError(f"Failpoint {armed.point} was reached.")


async def _hang(until: Path | None) -> None:
    if until is None:
        await asyncio.Event().wait()
    else:
        while not until.exists():  # noqa: ASYNC110, ASYNC240 - another process makes the file; a stat blocks nobody
            await asyncio.sleep(POLL_SEC)


def _parse(text: str) -> _Failpoint:
    found = _GRAMMAR.fullmatch(text)
    if found is None or found["point"] not in POINTS or found["action"] not in ACTIONS:
        raise SettingsError(
            f"FAILPOINT {text!r} is not POINT[@key=value]:ACTION[;once=FILE][;until=FILE] "
            f"with a point of {', '.join(POINTS)} and an action of {', '.join(ACTIONS)}."
        )
    conditions = dict(pair.split("=", 1) for pair in (found["conditions"] or "").split(",") if "=" in pair)
    once, until = (Path(found[name]) if found[name] else None for name in ("once", "until"))
    return _Failpoint(found["point"], conditions, found["action"], once, until)
