"""The guide to deploying names what the manifests and the code name."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.deploy.azure import WITH_SERVICES
from tests.unit.deploy.described import JOBS, SERVICES, dashed, image_of
from tests.unit.deploy.manifests import of, pod, secret

GUIDE = (Path(__file__).parents[3] / "docs" / "deploying.md").read_text()


def test_an_image_is_built_for_each_service_and_the_command() -> None:
    assert f"for service in {' '.join(SERVICES)}; do image $service services.$service; done" in GUIDE
    assert {image_of(service) for service in SERVICES} == {f"retl-{service}" for service in SERVICES}
    assert image_of("retl") == "retl-cli"


def test_a_user_is_made_for_each_identity() -> None:
    assert f"for each in {' '.join(map(dashed, SERVICES))} {' '.join(JOBS)}; do" in GUIDE


def test_every_secret_of_kubernetes_is_made() -> None:
    made = dict(re.findall(r"create secret generic (\S+) --from-env-file=\S+ +# ([A-Z_, ]+)", GUIDE))
    expected: dict[str, set[str]] = {}
    for service in SERVICES:
        for reference in secret(pod("prod", service)["containers"][0]).values():
            expected.setdefault(reference["name"], set()).add(reference["key"])
    assert {name: set(re.findall(r"[A-Z_]+", keys)) for name, keys in made.items()} == expected


def test_every_secret_of_container_apps_is_made() -> None:
    apps = WITH_SERVICES.of("Microsoft.App/containerApps")
    expected = {each["name"] for app in apps for each in app.properties["configuration"]["secrets"]}
    assert set(re.findall(r"keyvault secret set --vault-name \S+ --name (\S+)", GUIDE)) == expected


def test_the_replicas_are_those_of_the_manifests() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| (1(?: to \d+)?) \|", GUIDE, re.MULTILINE))
    for service in SERVICES:
        most = of("prod", "ScaledObject")[dashed(service)]["spec"]["maxReplicaCount"]
        assert rows[service] == ("1" if most == 1 else f"1 to {most}")


def test_the_outputs_that_are_asked_for_are_put_out() -> None:
    assert set(re.findall(r"\$\(output (\w+)\)", GUIDE)) <= set(WITH_SERVICES.outputs)
    named = re.findall(r"outputs? ((?:`\w+`(?:, )?)+)", GUIDE)
    assert {name for names in named for name in re.findall(r"\w+", names)} <= set(WITH_SERVICES.outputs)
