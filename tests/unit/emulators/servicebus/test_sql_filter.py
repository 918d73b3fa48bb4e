"""The SQL of rules: truth tables, comparison, patterns, precedence, and errors that tell the place."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.servicebus.sqlfilter import SqlSyntaxError, parse

SYSTEM = {"label", "messageid"}
T, F, U = "1 = 1", "1 = 0", "absent = 1"


class Properties:
    """A message's properties, out of a dict; system properties have the prefix ``sys.``."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def system(self, name: str) -> Any:
        return self._values.get(f"sys.{name}")

    def user(self, name: str) -> Any:
        return self._values.get(name)

    def has_user(self, name: str) -> bool:
        return name in self._values


def matches(text: str, values: dict[str, Any] | None = None, parameters: dict[str, Any] | None = None) -> bool:
    condition = parse(text, system_properties=SYSTEM, parameters=parameters)
    return condition.matches(Properties(values or {}))


def truth(text: str) -> str:
    """Return the value of a condition; unknown is what neither it nor its contrary is."""
    if matches(text):
        return "T"
    return "F" if matches(f"NOT ({text})") else "U"


@pytest.mark.parametrize(
    ("operator", "table"),
    [
        ("AND", {"TT": "T", "TF": "F", "TU": "U", "FT": "F", "FF": "F", "FU": "F", "UT": "U", "UF": "F", "UU": "U"}),
        ("OR", {"TT": "T", "TF": "T", "TU": "T", "FT": "T", "FF": "F", "FU": "U", "UT": "T", "UF": "U", "UU": "U"}),
    ],
)
def test_logic_has_three_values(operator: str, table: dict[str, str]) -> None:
    conditions = {"T": T, "F": F, "U": U}

    assert {pair: truth(f"{conditions[pair[0]]} {operator} {conditions[pair[1]]}") for pair in table} == table


def test_not_turns_true_and_false_and_leaves_unknown() -> None:
    assert [truth(f"NOT {condition}") for condition in (T, F, U)] == ["F", "T", "U"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 5", True), ("a = 5.0", True), ("a <> 5", False), ("a != 4", True),
        ("a < 6", True), ("a <= 5", True), ("a > 5", False), ("a >= 5.5", False),
        ("name = 'Ann'", True), ("name = 'ann'", False), ("name < 'B'", True), ("name > 'B'", False),
        ("NAME = 'Ann'", True), ("user.name = 'Ann'", True), ("[name] = 'Ann'", True), ('"name" = \'Ann\'', True),
        ("[with space] = 1", True), ("[odd]]name] = 2", True),
        ("flag = TRUE", True), ("flag = false", False), ("flag <> FALSE", True), ("flag = 1", False),
        ("sys.Label = 'view'", True), ("SYS.label = 'cart'", False), ("sys.MessageId IS NULL", True),
        ("a = 'five'", False), ("NOT a = 'five'", False), ("a = NULL", False), ("NOT (a = NULL)", False),
        ("null = 1", False), ("nothing IS NULL", True), ("nothing IS NOT NULL", False), ("a IS NULL", False),
        ("absent IS NULL", True), ("EXISTS(nothing)", True), ("EXISTS(absent)", False), ("EXISTS(sys.Label)", True),
        ("NOT EXISTS (absent)", True), ("a = -(-5)", True), ("a = +5", True), ("property('A') = 5", True),
        ("p(@n) = 5", True), ("a = @five", True), ("1.5E1 = 15", True), (".5 = 0.5", True), ("TRUE", True),
        ("FALSE OR TRUE", True),
    ],
)  # fmt: skip
def test_conditions_compare_properties(text: str, expected: bool) -> None:
    values = {
        "a": 5, "name": "Ann", "flag": True, "nothing": None, "with space": 1, "odd]name": 2, "sys.label": "view",
    }  # fmt: skip

    assert matches(text, values, {"@five": 5, "@n": "a"}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a IN (1, 5)", True), ("a IN (1, 2)", False), ("a NOT IN (1, 2)", True), ("a NOT IN (1, 5)", False),
        ("absent IN (1)", False), ("absent NOT IN (1)", False), ("a IN (1, absent)", False),
        ("a NOT IN (1, absent)", False), ("a IN (absent, 5)", True), ("a IN ('5')", False),
    ],
)  # fmt: skip
def test_in_compares_with_each_candidate(text: str, expected: bool) -> None:
    assert matches(text, {"a": 5}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s LIKE 'shoes/%'", True), ("s LIKE '%/men'", True), ("s LIKE 'shoes_men'", True), ("s LIKE 'shoes'", False),
        ("s LIKE 'SHOES%'", False), ("s NOT LIKE 'hats%'", True), ("s LIKE '%s/m.n'", False),
        ("rate LIKE '100!%' ESCAPE '!'", True), ("rate LIKE '1_0!%' ESCAPE '!'", True),
        ("rate LIKE '100!_' ESCAPE '!'", False), ("absent LIKE '%'", False), ("absent NOT LIKE '%'", False),
        ("n LIKE '%'", False), ("lines LIKE 'a%b'", True), ("s LIKE 'shoes' + 1", False),
    ],
)  # fmt: skip
def test_like_matches_patterns(text: str, expected: bool) -> None:
    assert matches(text, {"s": "shoes/men", "rate": "100%", "n": 5, "lines": "a\nb"}) is expected


@given(st.text(), st.text(alphabet="ab%_", max_size=5))
def test_an_escaped_text_is_like_itself_only(text: str, other: str) -> None:
    escaped = "".join("!" + character if character in "%_!" else character for character in other)
    quoted = escaped.replace("'", "''")

    assert matches(f"v LIKE '{quoted}' ESCAPE '!'", {"v": other})
    assert matches(f"v LIKE '{quoted}' ESCAPE '!'", {"v": text}) is (text == other)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("7 / 2", 3), ("-7 / 2", -3), ("7 / 2.0", 3.5), ("7 % 3", 1),
        ("-7 % 3", -1), ("10 - 4 - 3", 3), ("2 - -3", 5), ("a * 2", 10),
    ],
)  # fmt: skip
def test_arithmetic_is_that_of_c_sharp(expression: str, value: float) -> None:
    assert matches(f"{expression} = {value}", {"a": 5})


@pytest.mark.parametrize("expression", ["a + absent", "a / 0", "a % 0", "a + 'x'", "-'x'", "-absent", "a * TRUE"])
def test_arithmetic_that_has_no_result_is_unknown(expression: str) -> None:
    assert not matches(f"{expression} = 5 OR {expression} <> 5", {"a": 5})


def test_and_binds_tighter_than_or_and_not_tighter_than_and() -> None:
    assert matches(f"{T} OR {F} AND {F}")
    assert not matches(f"({T} OR {F}) AND {F}")
    assert not matches(f"NOT {F} AND {F}")
    assert matches(f"not {F} or {F}")


@pytest.mark.parametrize(
    ("text", "problem", "position"),
    [
        ("", "expected a property, a constant or '('", 1),
        ("a", "expected a condition, such as a comparison", 1),
        ("a = ", "expected a property, a constant or '('", 5),
        ("a = 1 AND", "expected a property, a constant or '('", 10),
        ("a = 1 b = 2", "expected AND, OR or the end, found 'b'", 7),
        ("(a = 1", "expected ')'", 7),
        ("a = 1)", "expected AND, OR or the end, found ')'", 6),
        ("a = 'open", "unterminated string", 5),
        ("[a = 1", "unterminated name", 1),
        ("a = 1 AND ~b", "unexpected '~'", 11),
        ("a == 1", "expected a property, a constant or '(', found '='", 4),
        ("a = 1 OR b", "expected a condition, such as a comparison", 10),
        ("a AND b = 1", "expected a condition, such as a comparison", 1),
        ("(a = 1) = 2", "expected a value, not a condition", 1),
        ("a = (b = 1)", "expected a value, not a condition", 5),
        ("5 IS NULL", "IS NULL needs a property before it", 1),
        ("a IS 5", "expected 'NULL', found '5'", 6),
        ("a NOT 5", "expected IN or LIKE after NOT, found '5'", 7),
        ("a IN ()", "expected a property, a constant or '(', found ')'", 7),
        ("a LIKE 'x' ESCAPE 'ab'", "ESCAPE needs a string of one character", 19),
        ("sys.Nothing = 1", "there is no system property Nothing (known: label, messageid)", 5),
        ("mine.a = 1", "there is no scope mine; only sys and user ([a name with dots] goes into brackets)", 1),
        ("EXISTS(5)", "expected the name of a property, found '5'", 8),
        ("newid() = 5", "there is no function newid; only property(name), p(name), found 'newid'", 1),
        ("a = @missing", "the parameter @missing has no value, found '@missing'", 5),
        ("(" * 40 + "a = 1" + ")" * 40, "nested more than 32 deep, found '('", 34),
        ("a = 1" + " " * 1020, "a filter may have 1024 characters; it goes on", 1025),
    ],
)
def test_an_error_tells_the_problem_and_the_place(text: str, problem: str, position: int) -> None:
    with pytest.raises(SqlSyntaxError) as failure:
        matches(text)

    assert (failure.value.problem, failure.value.position) == (problem, position)
    assert str(failure.value).endswith(f"at character {position} of: {text}")


@given(st.text())
def test_any_text_is_a_condition_or_a_syntax_error(text: str) -> None:
    with suppress(SqlSyntaxError):
        assert matches(text) in (True, False)
