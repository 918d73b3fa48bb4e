"""What deploy/containerapps would create in its three ways, and how to look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.deploy.bicep import Deployment, Resource, deploy, read_params

FOLDER = Path(__file__).parents[3] / "deploy" / "containerapps"
MAIN, VALUES = read_params(FOLDER / "example.bicepparam")
BEFORE = deploy(MAIN, **VALUES)
"""The first deployment: what must be there before the services."""
SERVING = {**VALUES, "deployServices": True}
WITH_SERVICES = deploy(MAIN, **SERVING)
ALERTING = deploy(MAIN, **{**SERVING, "slackWebhookUrl": "https://hooks.example.com/x"})
UNSCALED = deploy(MAIN, **SERVING, scaleOnMessages=False)
FOR_KUBERNETES = deploy(MAIN, **{**VALUES, "platform": "kubernetes"}, oidcIssuerUrl="https://issuer.example.com/")

ROLES = {
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "send",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "receive",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "own the bus",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "write the lake",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "read the lake",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "pull images",
    "4633458b-17de-408a-b874-0445c86b69e6": "read secrets",
}


def principal(identity: str) -> str:
    """How the interpreter writes an identity's principal id."""
    return f"id-{VALUES['name']}-{identity}.properties.principalId"


def rights(deployment: Deployment, principal_id: str) -> set[tuple[str, str]]:
    """What a principal may do, and on what: a name below the namespace or the account, or else the kind of resource."""
    found = set()
    for each in deployment.of("Microsoft.Authorization/roleAssignments"):
        if each.properties["principalId"] == principal_id:
            assert each.scope is not None
            right = ROLES[each.properties["roleDefinitionId"].rpartition("/")[2]]
            found.add((right, each.scope.name.partition("/")[2] or each.scope.type))
    return found


def app(deployment: Deployment, service: str) -> Resource:
    """The container app of a service."""
    (found,) = (each for each in deployment.of("Microsoft.App/containerApps") if each.name == f"retl-{service}")
    return found


def container(resource: Resource) -> dict[str, Any]:
    """Its one container."""
    (found,) = resource.properties["template"]["containers"]
    return dict(found)


def environment(resource: Resource) -> dict[str, str]:
    """Name → value, of what is no secret."""
    return {each["name"]: each["value"] for each in container(resource)["env"] if "value" in each}


def secret_environment(resource: Resource) -> dict[str, str]:
    """Name → name of the app's secret."""
    return {each["name"]: each["secretRef"] for each in container(resource)["env"] if "secretRef" in each}
