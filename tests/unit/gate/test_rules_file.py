"""The rules file: what a person edits is checked before the first message, and told with file, rule and field."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import SettingsError
from libs.common.settings import load_settings
from services.gate.adapters import try_rules
from services.gate.rules import Rule, RuleError, load_rules
from services.gate.settings import GateSettings
from tests.unit.gate.conftest import SETTINGS

RULE = {
    "name": "few_brands",
    "about": "Not too many brands.",
    "severity": "warn",
    "comparison": "<=",
    "threshold": 10,
    "unit": "brands",
    "sql": "SELECT count(DISTINCT brand) FROM events",
}
Load = Callable[..., tuple[Rule, ...]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write rules to a file and start a gate with it, as far as its rules."""

    def write_and_load(*rules: dict[str, Any]) -> tuple[Rule, ...]:
        path = tmp_path / "own-rules.toml"
        entries = ["\n".join(["[[rule]]", *(f"{name} = {value!r}" for name, value in rule.items())]) for rule in rules]
        path.write_text("\n".join(entries))
        settings = SETTINGS.model_copy(update={"gate_rules_file": path})
        loaded = load_rules(path, settings)
        try_rules(loaded, settings, tmp_path)
        return loaded

    return write_and_load


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in RULE.items() if key != name}


def test_a_rule_of_ones_own_is_taken(load: Load) -> None:
    (rule,) = load(RULE)
    assert (rule.name, rule.threshold) == ("few_brands", 10)


def test_the_file_is_named_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_RULES_FILE", "/etc/retl/rules.toml")
    settings = load_settings(GateSettings, _env_file=None, state_url="sqlite://", lake_url="file:///lake")
    assert settings.gate_rules_file == Path("/etc/retl/rules.toml")


def test_the_shipped_rules_work(tmp_path: Path) -> None:
    rules = load_rules(SETTINGS.gate_rules_file, SETTINGS)
    try_rules(rules, SETTINGS, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ((RULE | {"severity": "fatal"},), r"rule 1 \('few_brands'\): Invalid enum value 'fatal' - at `\$.severity`"),
        ((RULE, without("threshold")), r"rule 2 \('few_brands'\): .*missing required field `threshold`"),
        ((without("name"),), r"rule 1 \(None\): .*missing required field `name`"),
        ((RULE | {"comparison": "<"},), r"rule 1 \('few_brands'\): Invalid enum value '<' - at `\$.comparison`"),
        ((RULE | {"name": "../x"},), r"rule 1 \('../x'\): .* - at `\$.name`"),
        ((RULE | {"treshold": 1},), r"rule 1 \('few_brands'\): .* unknown field `treshold`"),
        ((RULE, RULE), r"more than one rule is named 'few_brands'"),
        ((RULE | {"threshold": "MAX_BRANDS"},), r"rule 'few_brands': its threshold 'MAX_BRANDS' is neither"),
        ((RULE | {"threshold": "GATE_KEEP_SCRATCH"},), r"rule 'few_brands': its threshold 'GATE_KEEP_SCRATCH'"),
        ((), r"it must hold \[\[rule\]\] entries"),
        ((RULE | {"sql": "SELECT count(*) FROM evens"},), r"rule 'few_brands': its sql .*evens"),
        ((RULE | {"sql": "SELEC 1"},), r"rule 'few_brands': its sql does not work"),
        ((RULE | {"sql": "SELECT 1, 2"},), r"rule 'few_brands': its sql must give one row with one number"),
        ((RULE | {"sql": "SELECT 1 WHERE false"},), r"rule 'few_brands': its sql must give one row"),
        ((RULE | {"sql": "SELECT 'many'"},), r"rule 'few_brands': its sql does not work"),
        ((RULE | {"sql": "SELECT 'NaN'::DOUBLE"},), r"rule 'few_brands': its sql gave NaN"),
        ((RULE | {"failing_rows": "SELECT x FROM events"},), r"rule 'few_brands': its failing_rows do not work"),
    ],
)
def test_a_rule_that_cannot_work_is_told_at_the_start(load: Load, rules: tuple[dict[str, Any], ...], told: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?is)GATE_RULES_FILE /.*own-rules\.toml: {told}") as refused:
        load(*rules)
    assert refused.value.code == "gate_rule_invalid"
    assert "start the gate again" in refused.value.next_step


def test_a_file_that_is_not_there_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"GATE_RULES_FILE .*none\.toml"):
        load_rules(tmp_path / "none.toml", SETTINGS)
    (tmp_path / "broken.toml").write_text("[[rule]\n")
    with pytest.raises(RuleError, match=r"GATE_RULES_FILE .*broken\.toml"):
        load_rules(tmp_path / "broken.toml", SETTINGS)


def test_every_shipped_rule_says_what_it_means() -> None:
    rules = tomllib.loads(SETTINGS.gate_rules_file.read_text())["rule"]
    assert [rule["name"] for rule in rules if not rule["about"].endswith(".")] == []
    assert {rule["severity"] for rule in rules} == {"warn", "error"}
