"""The contract of a record: every rule with what it lets through and what it refuses."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.validator.record import COLUMNS, Event, Fault, judge
from services.validator.values import read_json

GOOD: dict[str, Any] = {"event_time": "2019-10-01 00:00:00 UTC", "event_type": "view", "user_id": 1}
ABSENT = object()


def judged(**changes: Any) -> Event | Fault:
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not ABSENT}
    return judge(read_json(json.dumps(fields).encode()))


def judged_text(**literals: str) -> Event | Fault:
    """With fields given as JSON text, for literals that Python would not write like that."""
    fields = {**{name: json.dumps(value) for name, value in GOOD.items()}, **literals}
    return judge(read_json(("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()))


def event(verdict: Event | Fault) -> Event:
    assert isinstance(verdict, Event), verdict
    return verdict


def fault(verdict: Event | Fault) -> tuple[str, str | None]:
    assert isinstance(verdict, Fault), verdict
    return verdict.code, verdict.field


def test_the_columns_are_the_contracts_in_its_order() -> None:
    assert COLUMNS == (
        "event_time",
        "event_type",
        "product_id",
        "category_id",
        "category_code",
        "brand",
        "price",
        "user_id",
        "user_session",
    )


@pytest.mark.parametrize("name", ["event_time", "event_type", "user_id"])
@pytest.mark.parametrize("value", [None, ABSENT])
def test_a_required_field_that_is_null_or_absent_is_missing(name: str, value: object) -> None:
    assert fault(judged(**{name: value})) == ("missing_field", name)


@pytest.mark.parametrize("name", ["event_time", "event_type", "user_id"])
@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0\u2003"])
def test_a_required_field_that_is_blank_is_empty(name: str, blank: str) -> None:
    assert fault(judged(**{name: blank})) == ("empty_value", name)


@pytest.mark.parametrize("name", ["product_id", "category_id", "category_code", "brand", "price", "user_session"])
@pytest.mark.parametrize("nothing", ["", "  ", None, ABSENT])
def test_an_optional_field_that_is_blank_null_or_absent_is_null(name: str, nothing: object) -> None:
    assert getattr(event(judged(**{name: nothing})), name) is None


@pytest.mark.parametrize("name", ["category_code", "brand", "user_session"])
def test_text_is_stripped_and_otherwise_kept(name: str) -> None:
    assert getattr(event(judged(**{name: " \u00a0Ünï Code\u0000\n"})), name) == "Ünï Code\u0000"


@pytest.mark.parametrize("name", ["event_type", "category_code", "brand", "user_session"])
@pytest.mark.parametrize("value", [1, 1.5, True, [], ["a"], {}, {"a": 1}])
def test_a_text_field_takes_nothing_but_text(name: str, value: object) -> None:
    assert fault(judged(**{name: value})) == ("bad_type", name)


@pytest.mark.parametrize("name", ["event_type", "brand", "user_id"])
def test_half_of_a_surrogate_pair_is_no_text(name: str) -> None:
    assert fault(judged_text(**{name: r'"a\ud83d"'})) == ("bad_type", name)
    assert fault(judge(read_json(b'{"event_time":"2019-10-01T00:00:00Z","event_type":"v","user_id":"\xff"}'))) == (
        "bad_type",
        "user_id",
    )


def test_the_event_type_is_lower_case() -> None:
    assert event(judged(event_type=" Purchase ")).event_type == "purchase"
    assert event(judged(event_type="ÀÇ")).event_type == "àç"


@pytest.mark.parametrize("name", ["user_id", "product_id", "category_id"])
@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-17", "-17"),
        ("2053013555631882655", "2053013555631882655"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 5000, "9" * 5000),
        ('" 007 "', "007"),
        ('"1.5"', "1.5"),
        ('"true"', "true"),
    ],
)
def test_an_id_is_an_integer_or_text_and_becomes_text(name: str, literal: str, text: str) -> None:
    assert getattr(event(judged_text(**{name: literal})), name) == text


@pytest.mark.parametrize("name", ["user_id", "product_id", "category_id"])
@pytest.mark.parametrize("literal", ["true", "false", "1.0", "1e3", "1E3", "NaN", "[]", "[1]", "{}", '{"id":1}'])
def test_an_id_is_nothing_else(name: str, literal: str) -> None:
    assert fault(judged_text(**{name: literal})) == ("bad_type", name)


@pytest.mark.parametrize(
    ("literal", "price"),
    [
        ("12.5", "12.5000"),
        ('"12.50"', "12.5000"),
        ('" 12.50\\n"', "12.5000"),
        ("0.1", "0.1000"),
        ("35", "35.0000"),
        ("1e3", "1000.0000"),
        ("1E-4", "0.0001"),
        ('"1e3"', "1000.0000"),
        ('"+5"', "5.0000"),
        ('".5"', "0.5000"),
        ('"5."', "5.0000"),
        ('"007"', "7.0000"),
        ("12.50000000", "12.5000"),
        ("-0", "0.0000"),
        ("-0.00", "0.0000"),
        ("0e400", "0.0000"),
        ("99999999999999.9999", "99999999999999.9999"),
        ("0.00010000000000000000000000000000000000000000", "0.0001"),
        ("1234567.8901", "1234567.8901"),
    ],
)
def test_a_price_is_exact_at_four_decimals(literal: str, price: str) -> None:
    found = event(judged_text(price=literal)).price
    assert str(found) == price


@pytest.mark.parametrize(
    "literal",
    [
        '"abc"',
        '"1_000"',
        '"1,000.00"',
        '"$5"',
        '"NaN"',
        '"Infinity"',
        '"-inf"',
        "NaN",
        "Infinity",
        "-Infinity",
        '"0x10"',
        '"\uff11\uff12"',
        '"1 2"',
        '"."',
        '"-"',
        '"e5"',
        "12.34567",
        "0.00001",
        "100000000000000",
        "1e400",
        '"1e99999999999999999999"',
        "99999999999999.99999",
        "true",
        "false",
        "[]",
        "[1]",
        "{}",
        r'"\ud83d"',
    ],
)
def test_what_is_no_finite_number_that_fits_is_no_price(literal: str) -> None:
    assert fault(judged_text(price=literal)) == ("bad_price", "price")


@pytest.mark.parametrize("literal", ["-1", "-0.01", '"-5"', "-1e400", "-0.00001", '" -3 "'])
def test_a_number_below_zero_is_a_negative_price(literal: str) -> None:
    assert fault(judged_text(price=literal)) == ("negative_price", "price")


NOON = datetime(2019, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2019-10-01 12:00:00 UTC", NOON),
        ("2019-10-01T12:00:00Z", NOON),
        ("2019-10-01t12:00:00z", NOON),
        ("2019-10-01 12:00:00utc", NOON),
        ("2019-10-01 12:00:00", NOON),
        ("2019-10-01T12:00", NOON),
        ("2019-10-01T12:00Z", NOON),
        (" 2019-10-01T12:00:00Z ", NOON),
        ("2019-10-01T14:00:00+02:00", NOON),
        ("2019-10-01T14:00:00+0200", NOON),
        ("2019-10-01T14:00:00 +02", NOON),
        ("2019-10-01 06:30:00-05:30", NOON),
        ("2019-10-01T12:00:00+00", NOON),
        ("2019-10-01T12:00:00-00:00", NOON),
        ("2019-10-02T11:59:00+23:59", NOON),
        ("2019-10-01T12:00:00.25Z", NOON + timedelta(milliseconds=250)),
        ("2019-10-01T12:00:00,25Z", NOON + timedelta(milliseconds=250)),
        ("2019-10-01T12:00:00.123456Z", NOON + timedelta(microseconds=123456)),
        ("2019-10-01T12:00:00.1234567Z", NOON + timedelta(microseconds=123456)),
        ("2019-10-01 12:00:00.999999999 UTC", NOON + timedelta(microseconds=999999)),
        ("2020-02-29T12:00:00Z", datetime(2020, 2, 29, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_instant_with_or_without_zone(text: str, instant: datetime) -> None:
    found = event(judged(event_time=text)).event_time
    assert (found, found.tzinfo) == (instant, UTC)


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2019-10-01",
        "2019-10-01T",
        "2019-10-01T12",
        "2019-10-01T12:00:00.",
        "2019-10-01T12:00.5Z",
        "2019-10-01T12:00:5",
        "20191001T120000Z",
        "2019-W40-2T12:00:00Z",
        "2019-274T12:00:00Z",
        "2019-02-29T12:00:00Z",
        "2019-13-01T12:00:00Z",
        "2019-10-00T12:00:00Z",
        "2019-10-01T24:00:00Z",
        "2019-10-01T23:59:60Z",
        "2019-10-01T12:60:00Z",
        "2019-10-01T12:00:00+24:00",
        "2019-10-01T12:00:00+02:60",
        "2019-10-01T12:00:00 +2",
        "2019-10-01T12:00:00 GMT",
        "2019-10-01T12:00:00 Europe/Berlin",
        "2019-10-01T12:00:00ZZ",
        "2019-10-01  12:00:00",
        "2019-10-01_12:00:00",
        "01/10/2019 12:00:00",
        "\uff12\uff10\uff11\uff19-10-01T12:00:00Z",
        "0000-01-01T12:00:00Z",
        "10000-01-01T12:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        1569931200,
        1569931200.5,
        True,
        [],
        {},
    ],
)
def test_anything_else_is_no_time(value: object) -> None:
    assert fault(judged(event_time=value)) == ("bad_time", "event_time")


@pytest.mark.parametrize("text", ["null", "1", "1.5", '"view"', "[]", '[{"user_id":1}]', "true"])
def test_a_record_that_is_no_object_says_so(text: str) -> None:
    assert fault(judge(read_json(text.encode()))) == ("not_an_object", None)


def test_missing_fields_come_first_then_the_first_fault_in_column_order() -> None:
    assert fault(judged(event_time="x", user_id=None)) == ("missing_field", "user_id")
    assert fault(judged(event_type=None, user_id=None)) == ("missing_field", "event_type")
    assert fault(judged(event_time="x", event_type="")) == ("bad_time", "event_time")
    assert fault(judged(price=-1, user_id=True)) == ("negative_price", "price")
    assert fault(judged(product_id=1.5, brand=2, price="x")) == ("bad_type", "product_id")
    assert fault(judged(user_id=" ", user_session=4)) == ("empty_value", "user_id")


def test_the_last_of_equal_keys_counts_and_unknown_ones_do_not() -> None:
    text = b'{"user_id":1,"event_time":"2019-10-01T00:00:00Z","event_type":"view","x":{"y":[1]},"user_id":2}'
    assert event(judge(read_json(text))).user_id == "2"


def test_a_message_names_the_field_and_the_value_cut_to_a_length() -> None:
    verdict = judged(price="x" * 1000)
    assert isinstance(verdict, Fault)
    assert verdict.message.startswith('price must be a finite number, is "xxx')
    assert len(verdict.message) < 200


_ids = st.one_of(st.integers(), st.text(max_size=20))
_texts = st.one_of(st.none(), st.text(max_size=20))
_prices = st.one_of(
    st.none(),
    st.decimals(0, Decimal("99999999999999.9999"), places=4, allow_nan=False).map(str),
    st.integers(0, 10**14 - 1),
)
_times = st.datetimes(timezones=st.timezones()).map(datetime.isoformat)


@given(
    st.fixed_dictionaries(
        {"event_time": _times, "event_type": st.text(max_size=20), "user_id": _ids},
        optional={
            "product_id": _ids,
            "category_id": _ids,
            "category_code": _texts,
            "brand": _texts,
            "price": _prices,
            "user_session": _texts,
        },
    )
)
def test_normalising_twice_is_normalising_once(fields: dict[str, Any]) -> None:
    once = judge(read_json(json.dumps(fields).encode()))
    assume(isinstance(once, Event))
    again = {name: value if value is None else str(value) for name, value in event(once)._asdict().items()}
    assert judge(read_json(json.dumps(again).encode())) == once
