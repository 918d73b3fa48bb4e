from __future__ import annotations

import re
from importlib import resources
from typing import get_args

import msgspec
import pytest

from libs.emulators.salesforce.__main__ import command_line
from libs.emulators.salesforce.faults import CallKind, Fault

README = (resources.files("libs.emulators.salesforce") / "README.md").read_text()
OPTIONS = sorted(set(re.findall(r"--[a-z][a-z-]+", command_line().format_help())) - {"--help"})
FAULTS = {kind.__struct_config__.tag: kind for kind in get_args(Fault)}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", get_args(CallKind))
def test_every_kind_of_call_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_in_the_readme_with_all_its_fields(kind: str) -> None:
    (line,) = [line for line in README.splitlines() if line.startswith(f"| `{kind}` |")]
    for field in msgspec.structs.fields(FAULTS[kind]):
        assert f"`{field.encode_name}`" in line
