"""What `kubectl kustomize` would print, for as much of it as our folders use; `make test` needs no kubectl.

Anything else in a kustomization is refused. Where there is a kubectl, a test holds this to it. One difference is meant:
generated ConfigMaps keep their plain names, without the hash of their contents.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
}
"""Lists that a strategic merge joins by a key; all others it replaces."""
_KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "components",
    "namespace",
    "labels",
    "configMapGenerator",
    "patches",
    "images",
}
_WITHOUT_NAMESPACE = {"Namespace"}


def build(folder: Path) -> list[Document]:
    """The folder's documents. Raises ValueError for what is not known here."""
    return _kustomization(folder, [])


def _kustomization(folder: Path, given: list[Document]) -> list[Document]:
    described = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(described) - _KNOWN:
        raise ValueError(f"{folder}: {unknown} is not known here")
    documents = list(given)
    for resource in described.get("resources", []):
        path = folder / resource
        documents += build(path) if path.is_dir() else load(path)
    for component in described.get("components", []):
        documents = _kustomization(folder / component, documents)
    for generator in described.get("configMapGenerator", []):
        _generate(generator, folder, documents)
    for patch in described.get("patches", []):
        _patch(patch, folder, documents)
    for document in documents:
        if (namespace := described.get("namespace")) and document["kind"] not in _WITHOUT_NAMESPACE:
            document["metadata"]["namespace"] = namespace
        for label in described.get("labels", []):
            _label(label, document)
        for image in described.get("images", []):
            _image(image, document)
    return documents


def load(path: Path) -> list[Document]:
    """The documents of one file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def _generate(generator: Document, folder: Path, documents: list[Document]) -> None:
    data: dict[str, str] = {}
    for name in generator["envs"]:
        lines = (folder / name).read_text().splitlines()
        data |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    if generator.get("behavior") == "merge":
        (old,) = (each for each in documents if _named(each, "ConfigMap", generator["name"]))
        old["data"] |= data
        return
    metadata = {"name": generator["name"]}
    documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(patch: Document, folder: Path, documents: list[Document]) -> None:
    for change in _changes(folder / patch["path"]):
        if target := patch.get("target"):
            kind, name = target["kind"], target.get("name", ".*")
        else:
            kind, name = change["kind"], change["metadata"]["name"]
        chosen = [document for document in documents if _named(document, kind, name)]
        if not chosen:
            raise ValueError(f"{folder / patch['path']} changes nothing")
        for document in chosen:
            if isinstance(change, list):
                for operation in change:
                    _operate(operation, document)
            else:
                _merge({key: value for key, value in change.items() if key not in ("apiVersion", "kind")}, document)


def _changes(path: Path) -> list[Any]:
    return [copy.deepcopy(change) for change in yaml.safe_load_all(path.read_text()) if change is not None]


def _named(document: Document, kind: str, name: str) -> bool:
    return bool(re.fullmatch(kind, document["kind"]) and re.fullmatch(name, document["metadata"]["name"]))


def _merge(change: Document, into: Document, *, top: bool = True) -> None:
    for key, value in copy.deepcopy(change).items():
        if top and key == "metadata":
            value.pop("name", None)
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(value, into[key], top=False)
        elif isinstance(value, list) and key in _MERGE_KEYS and key in into:
            _merge_list(value, into[key], _MERGE_KEYS[key])
        else:
            into[key] = value


def _merge_list(change: list[Document], into: list[Document], by: str) -> None:
    for item in change:
        same = [old for old in into if old[by] == item[by]]
        if same:
            _merge(item, same[0], top=False)
        else:
            into.append(item)


def _operate(operation: Document, document: Document) -> None:
    *way, last = operation["path"].lstrip("/").split("/")
    place: Any = document
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if operation["op"] not in ("add", "replace"):
        raise ValueError(f"{operation['op']} is not known here")
    if operation["op"] == "replace" and last not in place:
        raise ValueError(f"{operation['path']} is not there to be replaced")
    place[last] = copy.deepcopy(operation["value"])


def _label(label: Document, document: Document) -> None:
    document["metadata"].setdefault("labels", {}).update(label["pairs"])
    if label.get("includeTemplates"):
        labelled = list(templates(document))
        labelled += [document["spec"]["jobTemplate"]] if document["kind"] == "CronJob" else []
        for template in labelled:
            template.setdefault("metadata", {}).setdefault("labels", {}).update(label["pairs"])


def _image(image: Document, document: Document) -> None:
    for template in templates(document):
        for container in template["spec"]["containers"]:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def templates(document: Document) -> Iterator[Document]:
    """The pod template in a document, if it has one."""
    if document["kind"] in ("Deployment", "Job"):
        yield document["spec"]["template"]
    if document["kind"] == "CronJob":
        yield document["spec"]["jobTemplate"]["spec"]["template"]
