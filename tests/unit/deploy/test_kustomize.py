"""Our reading of kustomizations, held to kubectl's where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.kustomize import build

KUBERNETES = Path(__file__).parents[3] / "deploy" / "kubernetes"
FOLDERS = ("base", "overlays/dev", "overlays/prod")
HASHED = re.compile(r"^(retl-(?:settings|extractor|sf-sync))-[a-z0-9]{10}$")


def canonical(value: Any) -> Any:
    """Without the order of named items, which a merge may change, and without the hashes of ConfigMaps."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [canonical(item) for item in value]
        named = all(isinstance(item, dict) and "name" in item for item in items)
        return sorted(items, key=lambda item: str(item["name"])) if named else items
    return HASHED.sub(r"\1", value) if isinstance(value, str) else value


def by_name(documents: list[Any]) -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): each for each in map(canonical, documents)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_read_as_kubectl_reads_it(folder: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl here to compare with")
    printed = subprocess.run(
        [kubectl, "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=False
    )
    assert printed.stderr == ""
    assert by_name(build(KUBERNETES / folder)) == by_name(list(yaml.safe_load_all(printed.stdout)))


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("namePrefix: x-\n")
    with pytest.raises(ValueError, match="namePrefix"):
        build(tmp_path)


def test_a_patch_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("patches: [{path: patch.yaml, target: {kind: Deployment}}]\n")
    (tmp_path / "patch.yaml").write_text("kind: Deployment\nspec: {}\n")
    with pytest.raises(ValueError, match="changes nothing"):
        build(tmp_path)
