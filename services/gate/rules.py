"""The rules as data: read, checked, and applied to the numbers that their SQL gives. Pure but for reading the file."""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import msgspec

from libs.common.errors import SettingsError
from services.gate.settings import GateSettings

_COMPARE: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of `rules.toml`."""

    name: str
    about: str
    severity: Literal["warn", "error"]
    comparison: Literal["<=", ">=", "=="]
    threshold: float | str
    unit: str
    sql: str
    failing_rows: str | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule. `value` None means that it did not apply; it then passed."""

    name: str
    severity: str
    passed: bool
    value: float | None
    threshold: float
    unit: str
    message: str
    failing_rows: int | None = None
    sample: str | None = None
    """Path in the lake of a sample of the failing rows."""

    @property
    def fails_the_run(self) -> bool:
        """Whether nothing may be published because of it."""
        return not self.passed and self.severity == "error"


class _RulesFile(msgspec.Struct, forbid_unknown_fields=True):
    rule: list[Rule]


def load_rules(path: Path, settings: GateSettings) -> tuple[Rule, ...]:
    """The rules in a file, thresholds that name a setting replaced by its value.

    Raises SettingsError that says which rule and field is wrong.
    """
    try:
        rules = msgspec.convert(tomllib.loads(path.read_text()), _RulesFile).rule
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"GATE_RULES_FILE {path}: {error}.") from error
    names = [rule.name for rule in rules]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not rules:
        raise SettingsError(f"GATE_RULES_FILE {path}: {'no rules' if not rules else f'twice: {repeated}'}.")
    return tuple(_with_threshold(rule, settings, path) for rule in rules)


def apply(rule: Rule, value: Decimal | None) -> Check:
    """Compare a rule's number with its threshold."""
    threshold = Decimal(str(rule.threshold))
    passed = value is None or _COMPARE[rule.comparison](value, threshold)
    shown = "does not apply" if value is None else f"{_short(value)} {rule.unit}"
    must = f"must be {rule.comparison} {_short(threshold)}"
    return Check(
        name=rule.name,
        severity=rule.severity,
        passed=passed,
        value=None if value is None else float(round(value, 6)),
        threshold=float(threshold),
        unit=rule.unit,
        message=f"{rule.about} {shown}, {must}.",
    )


def _with_threshold(rule: Rule, settings: GateSettings, path: Path) -> Rule:
    if not isinstance(rule.threshold, str):
        return rule
    value = getattr(settings, rule.threshold.lower(), None)
    if not isinstance(value, int | float):
        raise SettingsError(f"GATE_RULES_FILE {path}: rule {rule.name!r} names no setting: {rule.threshold!r}.")
    return msgspec.structs.replace(rule, threshold=float(value))


def _short(value: Decimal) -> str:
    return f"{float(value):,.4f}".rstrip("0").rstrip(".")
