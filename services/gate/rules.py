"""The rules as data: read, checked, and applied to the numbers that their SQL gives. Pure but for reading the file."""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from libs.common.errors import SettingsError
from services.gate.settings import GateSettings

_COMPARE: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}


class RuleError(SettingsError):
    """A rule is not one, or its SQL does not work."""

    code = "gate_rule_invalid"
    next_step = (
        "Correct the rule in the file that GATE_RULES_FILE names (services/gate/rules.toml is the model) and start the "
        "gate again; replay `data.loaded` if a run failed on it."
    )


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of `rules.toml`."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=60)]
    """Also the name of the file of failing rows."""
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


def load_rules(path: Path, settings: GateSettings) -> tuple[Rule, ...]:
    """The rules in a file, thresholds that name a setting replaced by its value.

    Raises RuleError that says which file, rule and field is wrong. That the SQL works is for `adapters.try_rules`.
    """
    try:
        return _read(path, settings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RuleError) as error:
        raise RuleError(f"GATE_RULES_FILE {path}: {error}") from error


def _read(path: Path, settings: GateSettings) -> tuple[Rule, ...]:
    content = tomllib.loads(path.read_text("utf-8"))
    entries = content.pop("rule", None)
    if content or not isinstance(entries, list) or not entries:
        raise RuleError("it must hold [[rule]] entries and nothing else.")
    rules = [_rule(number, entry, settings) for number, entry in enumerate(entries, 1)]
    names = [rule.name for rule in rules]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise RuleError(f"more than one rule is named {', '.join(map(repr, repeated))}.")
    return tuple(rules)


def _rule(number: int, entry: Any, settings: GateSettings) -> Rule:
    try:
        rule = msgspec.convert(entry, Rule)
    except msgspec.ValidationError as error:
        name = entry.get("name") if isinstance(entry, dict) else None
        raise RuleError(f"rule {number} ({name!r}): {error}.") from error
    if not isinstance(rule.threshold, str):
        return rule
    value = getattr(settings, rule.threshold.lower(), None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(
            f"rule {rule.name!r}: its threshold {rule.threshold!r} is neither a number nor a setting of one."
        )
    return msgspec.structs.replace(rule, threshold=float(value))


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


def _short(value: Decimal) -> str:
    return f"{float(value):,.4f}".rstrip("0").rstrip(".")
