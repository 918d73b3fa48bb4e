"""The overlays as they would be applied, and how to look at them."""

from __future__ import annotations

from pathlib import Path

from tests.unit.deploy.described import dashed
from tests.unit.deploy.kustomize import Document, build

KUBERNETES = Path(__file__).parents[3] / "deploy" / "kubernetes"
OVERLAYS = {path.name: build(path) for path in sorted((KUBERNETES / "overlays").iterdir())}


def of(overlay: str, kind: str) -> dict[str, Document]:
    """The overlay's documents of a kind, by name."""
    return {each["metadata"]["name"]: each for each in OVERLAYS[overlay] if each["kind"] == kind}


def pod(overlay: str, service: str) -> Document:
    """What the Deployment of a service says of its pods."""
    found: Document = of(overlay, "Deployment")[dashed(service)]["spec"]["template"]["spec"]
    return found


def plain(overlay: str, container: Document) -> dict[str, str]:
    """Environment of a container, but for what comes out of Secrets."""
    maps = of(overlay, "ConfigMap")
    values: dict[str, str] = {}
    for source in container["envFrom"]:
        values |= maps[source["configMapRef"]["name"]]["data"]
    return values | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def secret(container: Document) -> dict[str, Document]:
    """Environment names of a container that come out of Secrets."""
    return {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container.get("env", []) if "valueFrom" in each}
