"""What holds for every test: how long something takes is nobody's verdict here."""

from __future__ import annotations

import gc

from hypothesis import HealthCheck, settings

# A busy machine draws and runs examples slowly, which says nothing about the code under test.
settings.register_profile("retl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("retl")


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays to the end: the collector of garbage need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """What is still frozen when the process ends, some libraries report as leaked."""
    gc.unfreeze()
