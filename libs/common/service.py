"""A service as a process.

SERVICE = Service(name="validator", consumes=EventsExtracted, publishes=(EventsValidated,), stage=Stage.VALIDATE,
                  settings=ValidatorSettings, build=build, budget_sec=1800, about="…")

if __name__ == "__main__":
    sys.exit(main(SERVICE))
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from libs.common import failpoints, telemetry
from libs.common.composition import run_service
from libs.common.errors import RetlError, SettingsError
from libs.common.kit import Handler, Kit, M, S, Service
from libs.common.logging import configure_logging
from libs.common.service_help import usage
from libs.common.settings import CommonSettings, load_settings

__all__ = ["Handler", "Kit", "Service", "load_or_exit", "main", "run_service"]

C = TypeVar("C", bound=CommonSettings)

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(service: Service[M, S], argv: Sequence[str] | None = None) -> int:
    """Run the service until a signal; the exit status: 0 stopped, 1 failed, 2 wrong settings, 130 forced to stop."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        asked = arguments[0] in ("-h", "--help")
        print(usage(service), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else WRONG_USAGE
    settings = load_or_exit(service.settings)
    log = configure_logging(settings, service=service.name)
    try:
        failpoints.configure(settings.failpoint, service=service.name)
        stop_exporter = telemetry.start_exporter(service.name)
    except SettingsError as error:
        return _refuse(error)
    gc.freeze()  # what is imported stays: no collection need look at it again
    try:
        asyncio.run(_run_until_signal(service, settings, log))
    except RetlError as error:
        log.error("service_failed", code=error.code, text=str(error), next_step=error.next_step)
        return FAILED
    except asyncio.CancelledError:
        log.warning("service_forced_to_stop")
        return INTERRUPTED
    except Exception:
        log.exception("service_failed")
        return FAILED
    finally:
        stop_exporter()
        gc.unfreeze()  # what is never collected some libraries report as leaked, at length, when the process ends
    return 0


def load_or_exit(kind: type[C]) -> C:
    """The settings, or the end of the process with status 2 and one line on stderr per what is wrong."""
    try:
        return load_settings(kind)
    except SettingsError as error:
        sys.exit(_refuse(error))


async def _run_until_signal(service: Service[M, S], settings: S, log: FilteringBoundLogger) -> None:
    """SIGTERM or SIGINT stops gently; a second one cancels everything."""
    stop = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None

    def on_signal() -> None:
        if stop.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await run_service(service, settings, log, stop)


def _refuse(error: SettingsError) -> int:
    sys.stderr.write(f"{error}\n{error.next_step}\n")
    return WRONG_USAGE
