"""Faults on order, for tests of clients: answers that are errors, late, cut short or lost.

POST   /_emulator/faults  {"effect": "error", "operation": "path.append", "times": 2, "status": 503}
GET    /_emulator/faults  those not used up
DELETE /_emulator/faults  forget them; what is delayed goes on at once
"""

import asyncio
import contextlib
from typing import Annotated, Literal

import msgspec


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What happens to the next matching requests.

    error: answered with `status` and `code`, not executed. delay: executed after `seconds`. drop: the connection breaks
    after `after_bytes` of the request's body (of the answer's, for a read). lose_answer: executed, then the connection
    breaks.
    """

    effect: Literal["error", "delay", "drop", "lose_answer"]
    operation: str = ""
    """Name of an operation, such as `path.append`; "" is any."""
    path_contains: str = ""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Matching requests that pass unharmed first."""
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    code: str = "ServerBusy"
    retry_after_sec: int | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    after_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class Faults:
    """The faults that are still to happen, in the order they were asked for."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._forgotten = asyncio.Event()

    @property
    def pending(self) -> list[Fault]:
        """Those not used up."""
        return list(self._pending)

    def add(self, fault: Fault) -> None:
        """Queue one."""
        self._pending.append(fault)

    def clear(self) -> None:
        """Forget all, and let go on what is delayed."""
        self._pending.clear()
        self._forgotten.set()
        self._forgotten = asyncio.Event()

    async def delay(self, seconds: float) -> None:
        """Wait so long, or until the faults are forgotten."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._forgotten.wait()

    def take(self, operation: str, path: str) -> Fault | None:
        """The fault that this request meets, counted down; None for a healthy one."""
        for fault in self._pending:
            if fault.operation in {"", operation} and fault.path_contains in path:
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if not fault.times:
                    self._pending.remove(fault)
                return fault
        return None
