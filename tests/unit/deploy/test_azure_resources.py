"""The Azure resources that both platforms use: bus, lake, database, identities, and who may do what."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common.settings import ServiceSettings
from tests.unit.deploy.azure import (
    ALERTING,
    BEFORE,
    FOLDER,
    FOR_KUBERNETES,
    ROLES,
    SERVING,
    VALUES,
    WITH_SERVICES,
    principal,
    rights,
)
from tests.unit.deploy.bicep import deploy
from tests.unit.deploy.described import JOBS, SERVICES, SUBSCRIPTIONS, TOPICS, consumed, dashed, published
from tests.unit.deploy.kustomize import build

ROOT = Path(__file__).parents[3]
BUS = "Microsoft.ServiceBus/namespaces"
NAMES = {
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"[a-z][a-z0-9-]{2,23}",
    "Microsoft.ContainerRegistry/registries": r"[a-z0-9]{5,50}",
    "Microsoft.ServiceBus/namespaces": r"[a-z][a-z0-9-]{5,49}",
    "Microsoft.Sql/servers": r"[a-z0-9][a-z0-9-]{0,62}",
    "Microsoft.App/containerApps": r"[a-z][a-z0-9-]{1,31}",
    "Microsoft.App/jobs": r"[a-z][a-z0-9-]{1,31}",
    "Microsoft.App/managedEnvironments": r"[a-z][a-z0-9-]{1,31}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
}
LONGEST = deploy(FOLDER / "main.bicep", **{**SERVING, "name": "abcde-fghi"})
each_service = pytest.mark.parametrize("service", SERVICES)


def below(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by name, the namespace's own left out."""
    return {each.name.partition("/")[2]: each.properties for each in BEFORE.of(kind)}


def test_the_topics_are_those_of_the_topology() -> None:
    topics = below(f"{BUS}/topics")
    assert set(topics) == set(TOPICS)
    for name, described in TOPICS.items():
        assert (
            topics[name]["requiresDuplicateDetection"] is described["Properties"]["RequiresDuplicateDetection"] is True
        )
        window = described["Properties"]["DuplicateDetectionHistoryTimeWindow"]
        assert topics[name]["duplicateDetectionHistoryTimeWindow"] == window


def test_the_subscriptions_are_those_of_the_topology() -> None:
    subscriptions = below(f"{BUS}/topics/subscriptions")
    assert set(subscriptions) == {f"{topic}/{name}" for topic, name in SUBSCRIPTIONS}
    for (topic, name), described in SUBSCRIPTIONS.items():
        made = subscriptions[f"{topic}/{name}"]
        for field in ("lockDuration", "maxDeliveryCount", "deadLetteringOnMessageExpiration", "requiresSession"):
            assert made[field] == described["Properties"][field[0].upper() + field[1:]]


def test_a_subscription_has_the_one_rule_that_keeps_others_retries_away_in_place_of_the_one_that_takes_everything() -> (
    None
):
    rules = below(f"{BUS}/topics/subscriptions/rules")
    assert set(rules) == {f"{topic}/{name}/$Default" for topic, name in SUBSCRIPTIONS}
    for (topic, name), described in SUBSCRIPTIONS.items():
        (rule,) = described["Rules"]
        expression = rules[f"{topic}/{name}/$Default"]["sqlFilter"]["sqlExpression"]
        assert expression == rule["Properties"]["SqlFilter"]["SqlExpression"] == f"target IS NULL OR target = '{name}'"


def test_a_message_outlives_the_run_that_it_belongs_to_and_its_longest_delay() -> None:
    lives = {each["defaultMessageTimeToLive"] for each in below(f"{BUS}/topics").values()}
    lives |= {each["defaultMessageTimeToLive"] for each in below(f"{BUS}/topics/subscriptions").values()}
    (days,) = {int(re.fullmatch(r"P(\d+)D", live)[1]) for live in lives}  # type: ignore[index]  # or the test fails
    fields = ServiceSettings.model_fields
    delayed = sum(fields["retry_delays_sec"].default)
    assert timedelta(days=days).total_seconds() > fields["run_budget_sec"].default + delayed


@each_service
def test_a_service_may_send_what_it_publishes_and_its_retries_receive_what_it_consumes_and_write_the_lake(
    service: str,
) -> None:
    topic, subscription = consumed(service)
    expected = {("send", sent) for sent in published(service)} | {("receive", f"{topic}/{subscription}")}
    expected |= {("write the lake", "default/lake"), ("pull images", "Microsoft.ContainerRegistry/registries")}
    assert rights(BEFORE, principal(dashed(service))) - {("read secrets", "Microsoft.KeyVault/vaults")} == expected


def test_the_publisher_may_ask_for_a_week_and_the_migrator_nothing_outside_the_database() -> None:
    pull = ("pull images", "Microsoft.ContainerRegistry/registries")
    assert rights(BEFORE, principal("publisher")) == {("send", "week.requested"), pull}
    assert rights(BEFORE, principal("migrator")) == {pull}


def test_the_scaler_alone_may_manage_the_bus() -> None:
    assert rights(BEFORE, principal("scaler")) == {("own the bus", BUS)}
    assignments = BEFORE.of("Microsoft.Authorization/roleAssignments")
    owners = {
        each.properties["principalId"]
        for each in assignments
        if ROLES[each.properties["roleDefinitionId"].rpartition("/")[2]] == "own the bus"
    }
    assert owners == {principal("scaler")}


def test_operators_may_mend_the_bus_and_read_the_lake_and_nobody_if_there_is_no_such_group() -> None:
    group = VALUES["operatorsGroupId"]
    assert rights(BEFORE, group) == {("send", BUS), ("receive", BUS), ("read the lake", "default/lake")}
    without = deploy(FOLDER / "main.bicep", **{**VALUES, "operatorsGroupId": ""})
    kinds = {each.properties["principalType"] for each in without.of("Microsoft.Authorization/roleAssignments")}
    assert kinds == {"ServicePrincipal"}


def test_no_two_role_assignments_have_one_name() -> None:
    found = [each.name for each in WITH_SERVICES.of("Microsoft.Authorization/roleAssignments")]
    assert len(set(found)) == len(found)


def test_keys_and_passwords_are_turned_off_wherever_there_could_be_some() -> None:
    (bus,), (account,), (server,), (registry,) = (
        BEFORE.of(kind)
        for kind in (
            BUS,
            "Microsoft.Storage/storageAccounts",
            "Microsoft.Sql/servers",
            "Microsoft.ContainerRegistry/registries",
        )
    )
    assert bus.properties["disableLocalAuth"] is True
    assert account.properties["allowSharedKeyAccess"] is account.properties["allowBlobPublicAccess"] is False
    assert server.properties["administrators"]["azureADOnlyAuthentication"] is True
    assert registry.properties["adminUserEnabled"] is False


def test_the_lake_renames_directories_in_one_step() -> None:
    (account,) = BEFORE.of("Microsoft.Storage/storageAccounts")
    assert account.properties["isHnsEnabled"] is True


def test_secrets_come_through_parameters_that_are_marked_so_and_no_file_has_one() -> None:
    assert {file for file, names in ALERTING.secure.items() if names} == {"main.bicep", "service.bicep"}
    assert {name for names in ALERTING.secure.values() for name in names} == {"slackWebhookUrl"}
    assert VALUES["slackWebhookUrl"] == ""
    assert not WITH_SERVICES.of("Microsoft.KeyVault/vaults/secrets")
    assert not re.search(
        r"listKeys|listSecrets|AccountKey|SharedAccessKey", "".join(p.read_text() for p in FOLDER.rglob("*.bicep*"))
    )


@pytest.mark.parametrize(
    "resource", [r for r in LONGEST.resources if r.type in NAMES], ids=lambda each: f"{each.type}:{each.name}"
)
def test_a_name_is_one_that_azure_allows(resource: Any) -> None:
    assert re.fullmatch(NAMES[resource.type], resource.name)


def test_before_the_services_nothing_is_deployed_that_needs_an_image() -> None:
    assert not BEFORE.of("Microsoft.App/containerApps")
    assert not BEFORE.of("Microsoft.App/jobs")
    assert BEFORE.of("Microsoft.App/managedEnvironments")


def test_for_kubernetes_every_service_account_may_act_as_its_identity_and_nothing_runs_here() -> None:
    subjects = {
        each.name.partition("/")[0]: each.properties["subject"]
        for each in FOR_KUBERNETES.of("Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials")
    }
    accounts = [each["metadata"] for each in build(ROOT / "deploy/kubernetes/base") if each["kind"] == "ServiceAccount"]
    expected = {
        f"id-retl-{each['name']}": f"system:serviceaccount:{each['namespace']}:{each['name']}" for each in accounts
    }
    assert subjects == {**expected, "id-retl-scaler": "system:serviceaccount:kube-system:keda-operator"}
    assert not [
        each.type
        for each in FOR_KUBERNETES.resources
        if each.type.startswith(("Microsoft.App/", "Microsoft.KeyVault/"))
    ]
    assert not BEFORE.of("Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials")


def test_what_is_put_out_are_the_settings_and_the_client_ids_that_an_overlay_needs() -> None:
    put_out = FOR_KUBERNETES.outputs
    settings = (ROOT / "deploy/kubernetes/overlays/prod/settings.env").read_text()
    asked_for = re.findall(r"^([A-Z_]+)=", settings, re.MULTILINE)
    assert {name.replace("_", "").lower() for name in asked_for} <= {name.lower() for name in put_out}
    clients = [*put_out["serviceClientIds"], *put_out["jobClientIds"]]
    assert [each["serviceAccount"] for each in clients] == [*map(dashed, SERVICES), *JOBS]
    assert put_out["lakeUrl"].startswith("abfss://lake@")
    assert put_out["stateUrl"].startswith("mssql+pyodbc://")


def test_every_identity_has_a_user_in_the_grants() -> None:
    template = (ROOT / "deploy/sql/state/grants.sql.tmpl").read_text()
    users = set(re.findall(r"\$\{(\w+)_NAME\}", template))
    assert users == {name.upper() for name in (*SERVICES, *JOBS)} | {"OPERATORS"}
