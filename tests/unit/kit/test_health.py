from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from libs.common.health import DEAD_AFTER_SEC, Health, HealthServer
from libs.common.metrics import Metrics, Name
from tests.unit.worker.harness import ManualClock


class Served:
    """A health server on a free port."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.health = Health(self.clock)
        self.metrics = Metrics("loader")
        self.server = HealthServer(self.health, self.metrics, host="127.0.0.1", port=0)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.server.port}{path}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    await served.server.start()
    yield served
    await served.server.aclose()


async def test_not_ready_until_connected_and_while_paused(served: Served) -> None:
    assert (await served.get("/readyz"))[0] == 503
    served.health.ready("bus")
    assert (await served.get("/readyz"))[0] == 200
    served.health.not_ready("kill_switch", "Too many failures.")
    status, body = await served.get("/readyz")
    assert status == 503
    assert "Too many failures." in body


async def test_alive_as_long_as_the_receive_loop_turns(served: Served) -> None:
    assert (await served.get("/livez"))[0] == 200
    await served.clock.advance(DEAD_AFTER_SEC)
    assert (await served.get("/livez"))[0] == 503
    served.health.beat()
    assert (await served.get("/livez"))[0] == 200


async def test_metrics_are_exposed_under_their_listed_names(served: Served) -> None:
    served.metrics.received.inc()
    served.metrics.finished("done", 0.2)
    status, body = await served.get("/metrics")
    assert status == 200
    assert 'retl_messages_received_total{service="loader"} 1.0' in body
    assert 'retl_messages_finished_total{action="done",service="loader"} 1.0' in body
    assert [name for name in Name if name.value not in body] == []
