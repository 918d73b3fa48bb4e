"""Kubernetes and Container Apps run the same thing, and what they run is there."""

from __future__ import annotations

import aiohttp
import pytest
import typer
from typer.main import get_command

from libs.cli.__main__ import app as retl
from libs.common.clock import SystemClock
from libs.common.health import Health, HealthServer
from libs.common.metrics import Metrics
from tests.unit.deploy.azure import ALERTING, WITH_SERVICES, app, environment, secret_environment
from tests.unit.deploy.described import SERVICES, dashed
from tests.unit.deploy.manifests import of, plain, pod, secret


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_scales_alike_on_both(service: str) -> None:
    kubernetes = of("prod", "ScaledObject")[dashed(service)]["spec"]
    containerapps = app(WITH_SERVICES, dashed(service)).properties["template"]["scale"]
    assert kubernetes["minReplicaCount"] == containerapps["minReplicas"]
    assert kubernetes["maxReplicaCount"] == containerapps["maxReplicas"]
    (rule,) = containerapps["rules"]
    assert kubernetes["triggers"][0]["metadata"]["messageCount"] == rule["custom"]["metadata"]["messageCount"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_given_the_same_settings_on_both(service: str) -> None:
    (container,) = pod("prod", service)["containers"]
    alerting = app(ALERTING, dashed(service))
    assert set(plain("prod", container)) == set(environment(alerting)) - {"AZURE_CLIENT_ID"}
    assert set(secret(container)) == set(secret_environment(alerting))


def test_the_week_is_asked_for_at_the_same_time_on_both() -> None:
    (job,) = (each for each in WITH_SERVICES.of("Microsoft.App/jobs") if each.name == "retl-publish")
    schedule = job.properties["configuration"]["scheduleTriggerConfig"]["cronExpression"]
    assert of("prod", "CronJob")["publish"]["spec"]["schedule"] == schedule


def test_the_commands_of_the_jobs_exist() -> None:
    group = get_command(retl)
    assert isinstance(group, typer.core.TyperGroup)
    options = {option for parameter in group.commands["publish"].params for option in parameter.opts}
    assert "--next" in options
    assert "migrate" in group.commands


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_service_answers_where_it_is_probed_and_scraped(path: str) -> None:
    server = HealthServer(Health(SystemClock()), Metrics("gate"), host="127.0.0.1", port=0)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}{path}") as response:
            assert response.status in (200, 503)
    finally:
        await server.aclose()
