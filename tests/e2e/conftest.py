"""One stack for the session; without a Docker engine the tests are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, docker_is_there, fresh_project


@pytest.fixture(scope="session")
def engine() -> None:
    """Docker and compose are there."""
    if not docker_is_there():
        pytest.skip("no Docker engine with compose on this machine")


@pytest.fixture(scope="session")
def stack(engine: None) -> Iterator[Stack]:
    """The whole stack, built, started and healthy."""
    stack = Stack(fresh_project())
    with stack.running():
        yield stack


@pytest.fixture(scope="session")
def undisturbed(stack: Stack) -> dict[str, object]:
    """The result of a week that nothing happened to."""
    return stack.publish(stack.next_monday()).result()
