"""The interpreter of Bicep: it means what Bicep means, and takes nothing that it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.bicep import deploy, read_params
from tests.unit.deploy.bicep.parsing import BicepError

MODULE = "param name string\nresource r 'Some.Kind/things@2024-01-01' = {\n  name: name\n}\noutput id string = r.id\n"
USE = "module m 'module.bicep' = {\n  name: 'm'\n  params: {\n    name: 'x'\n  }\n}"
PARENT = "resource p 'A.B/c@1' existing = {\n  name: 'x'\n}"


def value_of(expression: str, tmp_path: Path) -> Any:
    """What an expression comes to."""
    (tmp_path / "main.bicep").write_text(f"var list = [1, 2, 3]\noutput it array = [{expression}]\n")
    (value,) = deploy(tmp_path / "main.bicep").outputs["it"]
    return value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("'a${1 + 1}b\\'c'", "a2b'c"),
        ("empty(list) ? 1 : length(list) > 2 ? 2 : 3", 2),
        ("list == [1, 2, 3] && !false", True),
        ("{ a: null }.?a ?? 'none'", "none"),
        ("{ a: 1 }.?b ?? 'none'", "none"),
        ("{ 'x${1}': 1 }['x1']", 1),
        ("map(filter(list, x => x > 1), x => x * x)", [4, 9]),
        ("union({ a: 1, b: 1 }, { b: 2 })", {"a": 1, "b": 2}),
        ("union(['a'], ['b', 'a'])", ["a", "b"]),
        ("items({ b: 1, a: 2 })", [{"key": "a", "value": 2}, {"key": "b", "value": 1}]),
    ],
)
def test_an_expression_means_what_bicep_means(expression: str, value: Any, tmp_path: Path) -> None:
    assert value_of(expression, tmp_path) == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("output x string = nowhere", "nowhere is declared nowhere"),
        ("output x string = shout('a')", "shout is no function"),
        ("output x string = 1", "no string"),
        ("param x string", "not given x"),
        ("@allowed(['a'])\nparam x string = 'b'", "must be one of"),
        ("var a = 1\nvar a = 2", "declared twice"),
        ("var a = 'no end\n", "without end"),
        ("func f() string => 'a'", "no statement"),
        ("var a = [1 2]", "neither with a comma"),
        ("module m 'module.bicep' = {\n  name: 'm'\n  params: {\n    nam: 'x'\n  }\n}", "no parameter nam"),
        ("module m 'module.bicep' = {\n  name: 'm'\n  params: {\n    name: 1\n  }\n}", "no string"),
        (f"{USE}\noutput x string = m.outputs.no", "no"),
        (f"{PARENT}\nresource r 'A.D/c/e@1' = {{\n  parent: p\n  name: 'y'\n}}", "no child"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "module.bicep").write_text(MODULE)
    (tmp_path / "main.bicep").write_text(text + "\n")
    with pytest.raises((BicepError, NameError, KeyError), match=fault):
        deploy(tmp_path / "main.bicep")


def test_a_loop_with_a_condition_makes_some_and_leaves_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "module.bicep").write_text(MODULE)
    (tmp_path / "main.bicep").write_text(
        "module each 'module.bicep' = [\n"
        "  for (letter, i) in ['a', 'b', 'c']: if (letter != 'b') {\n"
        "    name: 'deploy-${letter}'\n    params: {\n      name: '${letter}${i}'\n    }\n  }\n]\n"
        "output third string = each[2]!.outputs.id // of the list, not of those that were made\n"
    )
    made = deploy(tmp_path / "main.bicep")
    assert [resource.name for resource in made.resources] == ["a0", "c2"]
    assert made.outputs["third"] == "Some.Kind/things/c2"


def test_a_file_of_parameters_names_its_template(tmp_path: Path) -> None:
    (tmp_path / "x.bicepparam").write_text(
        "using 'main.bicep'\nparam name = 'a'\n// secret\nparam key = readEnvironmentVariable('K', '')\n"
    )
    assert read_params(tmp_path / "x.bicepparam") == (tmp_path / "main.bicep", {"name": "a", "key": ""})
