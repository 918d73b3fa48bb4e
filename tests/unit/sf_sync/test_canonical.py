"""Every mapped value as the text that is compared, kept and sent, and why a row must not be sent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from services.sf_sync.canonical import FAULT_CODE, FAULT_FIELD, KEY, canonical_batch
from services.sf_sync.mapping import Format, NullPolicy, ResolvedField, ResolvedMapping


def canonical(values: pa.Array, form: Format, **limits: Any) -> list[tuple[Any, Any, Any]]:
    """Text, fault code and faulty field of each value in a row of its own."""
    common: dict[str, Any] = {"on_null": NullPolicy.KEEP, "compare": True}
    key = ResolvedField(field="Id__c", column="id", format=Format.TEXT, **common)
    field = ResolvedField(field="Field__c", column="value", format=form, **common, **limits)
    mapping = ResolvedMapping(object="Metric__c", external_id="Id__c", fields=(key, field))
    ids = pa.array([f"k{number}" for number in range(len(values))])
    found = canonical_batch(pa.RecordBatch.from_arrays([ids, values], names=["id", "value"]), mapping)
    return [(row["Field__c"], row[FAULT_CODE], row[FAULT_FIELD]) for row in found.to_pylist()]


def texts(values: pa.Array, form: Format) -> list[Any]:
    found = canonical(values, form)
    assert all(code is None for _, code, _ in found)
    return [text for text, _, _ in found]


def test_decimals_are_written_digit_for_digit() -> None:
    exact = ["9999999999999999.99", "-0.01", "0.00", "120.50"]
    assert texts(pa.array([Decimal(one) for one in exact], pa.decimal128(18, 2)), Format.NUMBER) == exact
    assert texts(pa.array([2**63 - 1, -1, None]), Format.NUMBER) == ["9223372036854775807", "-1", None]


def test_moments_are_utc_with_milliseconds_cut_never_rounded() -> None:
    moments = [datetime(2026, 1, 9, 12, 30, 15, 123999, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)]
    found = texts(pa.array(moments, pa.timestamp("us", "UTC")), Format.DATETIME)
    assert found == ["2026-01-09T12:30:15.123Z", "2026-12-31T23:59:59.000Z"]


def test_a_day_is_written_as_a_moment_and_a_moment_as_its_day_where_the_mapping_says_so() -> None:
    assert texts(pa.array([date(2026, 1, 5)]), Format.DATETIME) == ["2026-01-05T00:00:00.000Z"]
    late = pa.array([datetime(2026, 1, 5, 23, 59, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert texts(late, Format.DATE) == ["2026-01-05"]
    assert texts(pa.array([date(2026, 1, 5)]), Format.DATE) == ["2026-01-05"]


def test_anything_can_be_sent_as_text() -> None:
    assert texts(pa.array([True, False, None]), Format.TEXT) == ["true", "false", None]
    assert texts(pa.array([7]), Format.TEXT) == ["7"]
    assert texts(pa.array([date(2026, 1, 5)]), Format.TEXT) == ["2026-01-05"]
    assert texts(pa.array([Decimal("1.50")]), Format.TEXT) == ["1.50"]


def test_text_is_trimmed_blank_text_is_null_and_control_characters_go() -> None:
    raw = ["  a b ", "\u00a0", "", "a\x00b\x1fc", "two\r\nlines\tand a tab"]
    assert texts(pa.array(raw), Format.TEXT) == ["a b", None, None, "abc", "two\r\nlines\tand a tab"]


@pytest.mark.parametrize(
    ("values", "form", "limits", "codes"),
    [
        (pa.array([1.5, float("nan"), float("inf"), float("-inf"), None]), Format.NUMBER, {},
         [None, "not_finite", "not_finite", "not_finite", None]),
        (pa.array(["ab", "abc", "日本語", None]), Format.TEXT, {"max_chars": 2}, [None, "too_long", "too_long", None]),
        (pa.array(["#N/A", "#N/A x", " #N/A "]), Format.TEXT, {}, ["reserved_text", None, "reserved_text"]),
        (pa.array([999, 1000, -999, -1000]), Format.NUMBER, {"max_integer_digits": 3},
         [None, "number_too_large", None, "number_too_large"]),
        (pa.array([Decimal("999.99"), Decimal("1000.00"), Decimal("-0.50")]), Format.NUMBER, {"max_integer_digits": 3},
         [None, "number_too_large", None]),
        (pa.array([1e18, 1e3, -1e3, 999.9]), Format.NUMBER, {"max_integer_digits": 3},
         ["number_too_large", "number_too_large", "number_too_large", None]),
    ],
)  # fmt: skip
def test_what_salesforce_could_not_hold_is_a_fault_of_its_row(
    values: pa.Array, form: Format, limits: dict[str, int], codes: list[str | None]
) -> None:
    found = canonical(values, form, **limits)
    assert [code for _, code, _ in found] == codes
    assert [place for _, _, place in found] == [code and "Field__c" for code in codes]


@pytest.mark.parametrize("key", [None, "", "  ", "\x00"])
def test_a_blank_external_id_is_a_fault(key: str | None) -> None:
    field = ResolvedField(field="Id__c", column="id", format=Format.TEXT, on_null=NullPolicy.KEEP, compare=True)
    mapping = ResolvedMapping(object="Metric__c", external_id="Id__c", fields=(field,))
    batch = pa.RecordBatch.from_arrays([pa.array([key], pa.string())], names=["id"])
    (row,) = canonical_batch(batch, mapping).to_pylist()
    assert (row[KEY], row[FAULT_CODE], row[FAULT_FIELD]) == (None, "blank_external_id", "Id__c")
