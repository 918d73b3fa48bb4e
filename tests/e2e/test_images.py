"""What the containers may do, and what the images hold."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.stack import EMULATORS, SERVICES, Stack, docker, fresh_project

pytestmark = pytest.mark.timeout(400)

TOOLS = ("gcc", "cc", "g++", "make", "ld", "git", "curl")


def inspected(stack: Stack, service: str) -> dict[str, Any]:
    (container,) = stack.containers(service)
    (found,) = json.loads(docker("inspect", container))
    return dict(found)


@pytest.mark.parametrize("service", [*SERVICES, *EMULATORS])
def test_no_container_runs_as_root_or_writes_outside_its_volumes(stack: Stack, service: str) -> None:
    found = inspected(stack, service)
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["HostConfig"]["Memory"] > 0
    tried = subprocess.run(
        ["docker", "exec", found["Id"], "python", "-c", "open('/app/x', 'w')"], capture_output=True, check=False
    )
    assert b"Read-only file system" in tried.stderr


@pytest.mark.parametrize("service", [*SERVICES, "servicebus"])
def test_an_image_holds_no_compiler_and_no_secret(stack: Stack, service: str) -> None:
    found = inspected(stack, service)
    look = f"import shutil; print([tool for tool in {TOOLS} if shutil.which(tool)])"
    assert docker("exec", found["Id"], "python", "-c", look).strip() == "[]"
    (image,) = json.loads(docker("image", "inspect", found["Image"]))
    built = json.dumps(image["Config"]) + docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", found["Image"])
    for word in ("SharedAccessKey", "AccountKey", "SECRET", "PASSWORD", "API_KEY", "TOKEN"):
        assert word not in built


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_the_code_of_its_own_service_only(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    listed = "import os; print(sorted(n for n in os.listdir('/app/services') if not n.startswith('__')))"
    assert docker("exec", container, "python", "-c", listed).strip() == f"['{service}']"


def test_taking_a_stack_down_with_its_volumes_leaves_nothing(engine: None) -> None:
    small = Stack(fresh_project())
    with small.running("servicebus", "datalake"):
        assert small.compose("ps", "--quiet").split()
    label = f"label=com.docker.compose.project={small.project}"
    left = [
        docker(kind, "ls", "--quiet", "--filter", label, *every)
        for kind, every in (("container", ["--all"]), ("volume", []), ("network", []))
    ]
    assert left == ["", "", ""]
