"""The Kubernetes manifests say what the code, the compose file and the topology say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from libs.common.settings import load_settings
from tests.unit.deploy import schema
from tests.unit.deploy.described import (
    COMMON,
    GROUP,
    HEALTH_PORT,
    JOBS,
    SCRATCH,
    SERVICES,
    STOP_SEC,
    USER,
    consumed,
    dashed,
    image_of,
    memory_mib,
    names,
    secret_names,
    settings_of,
)
from tests.unit.deploy.kustomize import Document, build, load, templates
from tests.unit.deploy.manifests import KUBERNETES, OVERLAYS, of, plain, pod, secret

DOCUMENTS = [
    pytest.param(document, id=f"{overlay}:{document['kind']}:{document['metadata']['name']}")
    for overlay, documents in OVERLAYS.items()
    for document in documents
]
PODS = [
    pytest.param(template, id=f"{overlay}:{document['metadata']['name']}")
    for overlay, documents in OVERLAYS.items()
    for document in documents
    for template in templates(document)
]
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_manifest_is_valid_in_every_field(document: Document) -> None:
    schema.check(document)


def test_a_typing_error_in_a_field_is_found() -> None:
    document = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "x"},
        "automountServiceAcountToken": False,
    }
    with pytest.raises(ValidationError, match="automountServiceAcountToken"):
        schema.check(document)


def test_the_base_without_keda_is_whole() -> None:
    kinds = {document["kind"] for document in build(KUBERNETES / "base")}
    assert {"ScaledObject", "TriggerAuthentication"} & kinds == set()


@each_overlay
def test_there_is_a_deployment_an_account_a_budget_and_a_scale_for_each_service_and_no_other(overlay: str) -> None:
    expected = {dashed(service) for service in SERVICES}
    assert set(of(overlay, "Deployment")) == expected
    assert set(of(overlay, "PodDisruptionBudget")) == expected
    assert set(of(overlay, "ScaledObject")) == expected
    assert set(of(overlay, "ServiceAccount")) == expected | set(JOBS)


@each_overlay
def test_everything_lies_in_the_one_namespace_that_is_made(overlay: str) -> None:
    (namespace,) = of(overlay, "Namespace")
    assert {each["metadata"]["namespace"] for each in OVERLAYS[overlay] if each["kind"] != "Namespace"} == {namespace}


@each_overlay
@each_service
def test_a_service_is_given_settings_that_it_reads(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    assert set(plain(overlay, container)) | set(secret(container)) <= names(settings_of(service))


@each_overlay
@each_service
def test_a_service_starts_with_the_settings_that_it_is_given(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    values: dict[str, Any] = {name.lower(): value for name, value in plain(overlay, container).items()}
    values |= {name.lower(): "from a secret" for name in secret(container)}
    settings = load_settings(settings_of(service), _env_file=None, **values)
    assert settings.servicebus_namespace
    assert settings.servicebus_connection_string is None


@each_overlay
@each_service
def test_what_is_secret_comes_out_of_a_secret_that_lies_in_no_file(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    assert set(plain(overlay, container)) & secret_names(settings_of(service)) == set()
    assert of(overlay, "Secret") == {}
    references = secret(container)
    assert {name: reference["key"] for name, reference in references.items()} == {name: name for name in references}


@each_overlay
@each_service
def test_a_secret_belongs_to_one_service_unless_it_is_the_alerts_and_may_be_missing(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    found = {(reference["name"], reference.get("optional", False)) for reference in secret(container).values()}
    assert found <= {(f"retl-{dashed(service)}", False), ("retl-alerts", True)}


@each_overlay
@each_service
def test_the_image_is_the_one_that_compose_builds(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    assert container["image"].rpartition("/")[2].partition(":")[0] == image_of(service)
    assert container["image"].rpartition(":")[2] not in ("", "latest")


@each_overlay
@each_service
def test_memory_is_what_compose_gives(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    assert container["resources"]["limits"]["memory"] == f"{memory_mib(service)}Mi"


@each_overlay
@each_service
def test_probes_and_scraping_ask_where_the_service_answers(overlay: str, service: str) -> None:
    (container,) = pod(overlay, service)["containers"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert {probe["port"] for probe in probes} | {port["containerPort"] for port in container["ports"]} == {HEALTH_PORT}
    annotations = of(overlay, "Deployment")[dashed(service)]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["prometheus.io/port"] == str(HEALTH_PORT)


@each_overlay
@each_service
def test_a_service_gets_time_to_stop(overlay: str, service: str) -> None:
    assert pod(overlay, service)["terminationGracePeriodSeconds"] > STOP_SEC


@each_overlay
@each_service
def test_a_selector_selects_the_pods_of_its_service_alone(overlay: str, service: str) -> None:
    deployment = of(overlay, "Deployment")[dashed(service)]["spec"]
    selector = deployment["selector"]["matchLabels"]
    assert of(overlay, "PodDisruptionBudget")[dashed(service)]["spec"]["selector"]["matchLabels"] == selector
    matching = [
        document["metadata"]["name"]
        for document in OVERLAYS[overlay]
        for template in templates(document)
        if selector.items() <= template["metadata"]["labels"].items()
    ]
    assert matching == [dashed(service)]


@each_overlay
@each_service
def test_a_service_is_scaled_on_the_subscription_that_it_consumes(overlay: str, service: str) -> None:
    scaled = of(overlay, "ScaledObject")[dashed(service)]["spec"]
    metadata = scaled["triggers"][0]["metadata"]
    assert scaled["scaleTargetRef"]["name"] == dashed(service)
    assert (metadata["topicName"], metadata["subscriptionName"]) == consumed(service)
    assert scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    bus = of(overlay, "ConfigMap")["retl-settings"]["data"]["SERVICEBUS_NAMESPACE"]
    assert metadata["namespace"] == bus.partition(".")[0]
    assert scaled["triggers"][0]["authenticationRef"]["name"] in of(overlay, "TriggerAuthentication")


@each_overlay
def test_somebody_is_always_there_to_end_an_overdue_run(overlay: str) -> None:
    assert of(overlay, "ScaledObject")["extractor"]["spec"]["minReplicaCount"] >= 1


def test_in_production_no_service_sleeps() -> None:
    assert all(each["spec"]["minReplicaCount"] >= 1 for each in of("prod", "ScaledObject").values())


@pytest.mark.parametrize("template", PODS)
def test_a_pod_is_locked_down_and_runs_as_the_user_of_the_image(template: Document) -> None:
    inside = template["spec"]
    assert (inside["securityContext"]["runAsUser"], inside["securityContext"]["runAsGroup"]) == (USER, GROUP)
    mounts = {mount["mountPath"]: mount["name"] for mount in inside["containers"][0]["volumeMounts"]}
    assert set(mounts) == {"/tmp", SCRATCH}
    assert set(mounts.values()) == {volume["name"] for volume in inside["volumes"]}
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"


@each_overlay
def test_all_pods_are_hardened_alike(overlay: str) -> None:
    pods = [template["spec"] for document in OVERLAYS[overlay] for template in templates(document)]
    containers = [each["containers"][0] for each in pods]
    assert all(
        each["securityContext"] == pods[0]["securityContext"] and each["volumes"] == pods[0]["volumes"] for each in pods
    )
    assert all(each["securityContext"] == containers[0]["securityContext"] for each in containers)
    assert all(each["resources"]["limits"] == containers[0]["resources"]["limits"] for each in containers)


@each_overlay
def test_every_pod_has_an_account_with_an_identity_of_its_own(overlay: str) -> None:
    used = [
        template["spec"]["serviceAccountName"] for document in OVERLAYS[overlay] for template in templates(document)
    ]
    assert sorted(used) == sorted(of(overlay, "ServiceAccount"))
    annotations = [each["metadata"]["annotations"] for each in of(overlay, "ServiceAccount").values()]
    assert all(each["azure.workload.identity/client-id"] for each in annotations)


@each_overlay
@pytest.mark.parametrize(
    ("kind", "name", "arguments"), [("Job", "migrate", ["migrate"]), ("CronJob", "publish", ["publish", "--next"])]
)
def test_a_job_runs_the_command_with_settings_that_it_reads(
    overlay: str, kind: str, name: str, arguments: list[str]
) -> None:
    ((template,),) = [tuple(templates(each)) for each in of(overlay, kind).values() if each["metadata"]["name"] == name]
    (container,) = template["spec"]["containers"]
    assert container["args"] == arguments
    assert container["image"].rpartition("/")[2].partition(":")[0] == image_of("retl")
    assert set(plain(overlay, container)) <= COMMON
    assert secret(container) == {}


@each_overlay
def test_the_weekly_job_is_patient_and_alone(overlay: str) -> None:
    spec = of(overlay, "CronJob")["publish"]["spec"]
    assert spec["startingDeadlineSeconds"] > 100  # below, the controller may miss a start altogether
    assert spec["jobTemplate"]["spec"]["backoffLimit"] >= 1


def test_traffic_is_denied_but_for_names_https_the_bus_the_database_and_scraping() -> None:
    policies = {
        document["metadata"]["name"]: document["spec"] for document in load(KUBERNETES / "base" / "network.yaml")
    }
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    out = {port["port"] for rule in policies["dependencies"]["egress"] for port in rule["ports"]}
    assert out == {53, 443, 5671, 1433, 11000}
    assert [port["port"] for rule in policies["metrics"]["ingress"] for port in rule["ports"]] == [HEALTH_PORT]
