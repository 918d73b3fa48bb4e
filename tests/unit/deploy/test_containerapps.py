"""The services and jobs on Container Apps say what the code, the compose file and the topology say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from libs.common.settings import load_settings
from tests.unit.deploy.azure import (
    ALERTING,
    UNSCALED,
    VALUES,
    WITH_SERVICES,
    app,
    container,
    environment,
    principal,
    rights,
    secret_environment,
)
from tests.unit.deploy.bicep import Resource
from tests.unit.deploy.described import (
    COMMON,
    HEALTH_PORT,
    SERVICES,
    STOP_SEC,
    consumed,
    dashed,
    image_of,
    memory_mib,
    names,
    secret_names,
    settings_of,
)

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
FROM_THE_PLATFORM = {"AZURE_CLIENT_ID"}  # read by Azure's SDK, not by us
each_service = pytest.mark.parametrize("service", SERVICES)
each_job = pytest.mark.parametrize(
    ("job", "identity", "arguments"),
    [("publish", "publisher", ["publish", "--next"]), ("migrate", "migrator", ["migrate"])],
)


def of(service: str) -> Resource:
    return app(WITH_SERVICES, dashed(service))


def job_of(name: str) -> Resource:
    (found,) = (each for each in WITH_SERVICES.of("Microsoft.App/jobs") if each.name == f"retl-{name}")
    return found


def test_there_is_an_app_for_each_service_and_no_other() -> None:
    apps = {each.name for each in WITH_SERVICES.of("Microsoft.App/containerApps")}
    assert apps == {f"retl-{dashed(service)}" for service in SERVICES}


@each_service
def test_a_service_is_given_settings_that_it_reads(service: str) -> None:
    alerting = app(ALERTING, dashed(service))
    given = set(environment(alerting)) | set(secret_environment(alerting))
    assert given - FROM_THE_PLATFORM <= names(settings_of(service))
    assert "SLACK_WEBHOOK_URL" in given
    assert "SLACK_WEBHOOK_URL" not in secret_environment(of(service))


@each_service
def test_a_service_starts_with_the_settings_that_it_is_given(service: str) -> None:
    values: dict[str, Any] = {name.lower(): value for name, value in environment(of(service)).items()}
    values |= {name.lower(): "from a secret" for name in secret_environment(of(service))}
    settings = load_settings(settings_of(service), _env_file=None, **values)
    assert settings.servicebus_namespace
    assert settings.servicebus_connection_string is None


@each_service
def test_what_is_secret_is_a_reference_and_the_vault_is_the_services_own(service: str) -> None:
    described = of(service)
    assert set(environment(described)) & secret_names(settings_of(service)) == set()
    secrets = {each["name"]: each for each in described.properties["configuration"]["secrets"]}
    assert set(secrets) == set(secret_environment(described).values())
    vault = f"kv{dashed(service).replace('-', '')}"
    assert all(each["keyVaultUrl"].startswith(vault) for each in secrets.values())
    reads = {right for right, _ in rights(WITH_SERVICES, principal(dashed(service)))}
    assert ("read secrets" in reads) == bool(secrets)


@each_service
def test_a_service_acts_as_itself_though_the_scalers_identity_is_attached(service: str) -> None:
    described = of(service)
    own = f"{IDENTITIES}/id-{VALUES['name']}-{dashed(service)}"
    assert set(described.body["identity"]["userAssignedIdentities"]) == {
        own,
        f"{IDENTITIES}/id-{VALUES['name']}-scaler",
    }
    assert environment(described)["AZURE_CLIENT_ID"] == f"id-{VALUES['name']}-{dashed(service)}.properties.clientId"
    configuration = described.properties["configuration"]
    assert {each["identity"] for each in (*configuration["registries"], *configuration["secrets"])} == {own}


@each_service
def test_a_service_has_no_ingress_and_one_revision(service: str) -> None:
    configuration = of(service).properties["configuration"]
    assert "ingress" not in configuration
    assert configuration["activeRevisionsMode"] == "Single"


@each_service
def test_the_image_is_the_one_that_compose_builds(service: str) -> None:
    image = container(of(service))["image"].rpartition("/")[2]
    assert image == f"{image_of(service)}:{VALUES['tag']}"


@each_service
def test_memory_is_enough_and_goes_with_the_processor_as_the_plan_sells_them(service: str) -> None:
    resources = container(of(service))["resources"]
    gib = Decimal(resources["memory"].removesuffix("Gi"))
    assert gib * 1024 >= memory_mib(service)
    assert gib == 2 * Decimal(str(resources["cpu"]))


@each_service
def test_probes_ask_where_the_service_answers_within_what_the_platform_allows(service: str) -> None:
    probes = {each["type"]: each for each in container(of(service))["probes"]}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"Startup": "/livez", "Liveness": "/livez", "Readiness": "/readyz"}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {HEALTH_PORT}
    assert all(1 <= probe["failureThreshold"] <= 10 and 1 <= probe["periodSeconds"] <= 240 for probe in probes.values())


@each_service
def test_a_service_gets_time_to_stop(service: str) -> None:
    assert STOP_SEC < of(service).properties["template"]["terminationGracePeriodSeconds"] <= 600


@each_service
def test_a_service_is_scaled_on_the_subscription_that_it_consumes_by_the_scalers_identity(service: str) -> None:
    scale = of(service).properties["template"]["scale"]
    (rule,) = scale["rules"]
    metadata = rule["custom"]["metadata"]
    assert (metadata["topicName"], metadata["subscriptionName"]) == consumed(service)
    assert environment(of(service))["SERVICEBUS_NAMESPACE"] == f"{metadata['namespace']}.servicebus.windows.net"
    assert all(isinstance(value, str) for value in metadata.values())
    assert rule["custom"]["identity"] == f"{IDENTITIES}/id-{VALUES['name']}-scaler"


@each_service
def test_without_ingress_at_least_one_replica_runs(service: str) -> None:
    scale = of(service).properties["template"]["scale"]
    assert 1 <= scale["minReplicas"] <= scale["maxReplicas"]


@each_service
def test_without_scaling_the_scalers_identity_is_nowhere(service: str) -> None:
    described = app(UNSCALED, dashed(service))
    assert described.properties["template"]["scale"]["rules"] == []
    assert len(described.body["identity"]["userAssignedIdentities"]) == 1


@each_job
def test_a_job_runs_the_command_as_itself_with_settings_that_it_reads(
    job: str, identity: str, arguments: list[str]
) -> None:
    described = job_of(job)
    assert container(described)["args"] == arguments
    assert container(described)["image"].rpartition("/")[2].partition(":")[0] == image_of("retl")
    assert set(environment(described)) - FROM_THE_PLATFORM <= COMMON
    assert secret_environment(described) == {}
    assert set(described.body["identity"]["userAssignedIdentities"]) == {f"{IDENTITIES}/id-{VALUES['name']}-{identity}"}
    assert environment(described)["AZURE_CLIENT_ID"] == f"id-{VALUES['name']}-{identity}.properties.clientId"


def test_the_week_is_asked_for_at_a_time_and_the_migration_is_started_by_hand() -> None:
    publish, migrate = (job_of(name).properties["configuration"] for name in ("publish", "migrate"))
    assert publish["triggerType"] == "Schedule"
    assert publish["scheduleTriggerConfig"]["parallelism"] == 1
    assert publish["manualTriggerConfig"] is None
    assert migrate["triggerType"] == "Manual"
    assert migrate["scheduleTriggerConfig"] is None
