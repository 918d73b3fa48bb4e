from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from libs.emulators.events_api import bad_records
from libs.emulators.events_api.bad_records import BadRecord

GOOD = (
    '{"event_time":"2019-10-07 00:00:00 UTC","event_type":"view","product_id":1004856,'
    '"category_id":2053013555631882655,"category_code":null,"brand":"samsung","price":130.70,"user_id":541312140,"user_session":"72d76fde"}'
)
REQUIRED = {"event_time", "event_type", "user_id"}
FAULTS = [bad_records.variant(ordinal) for ordinal in range(7 * 7)]
OBJECTS = [fault for fault in FAULTS if fault.whole is None]


def of(code: str) -> list[BadRecord]:
    return [fault for fault in FAULTS if fault.code == code]


def spoiled(fault: BadRecord) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(fault.spoil(GOOD))
    return record


@pytest.mark.parametrize("start", [0, 1, 5, 48])
def test_any_seven_in_a_row_show_every_code(start: int) -> None:
    assert {bad_records.variant(start + n).code for n in range(7)} == set(bad_records.CODES)


@pytest.mark.parametrize("fault", OBJECTS)
def test_a_fault_leaves_the_other_fields_digit_by_digit(fault: BadRecord) -> None:
    text = fault.spoil(GOOD)
    kept = set(json.loads(GOOD)) - set(fault.changes)
    parts = GOOD[1:-1].split(",")
    assert all(part in text for part in parts if part.split(":")[0].strip('"') in kept)


@pytest.mark.parametrize("fault", of("missing_field"))
def test_a_missing_field_is_a_required_one_that_is_absent_or_null(fault: BadRecord) -> None:
    assert fault.field in REQUIRED
    assert spoiled(fault).get(fault.field) is None


@pytest.mark.parametrize("fault", of("empty_value"))
def test_an_empty_value_is_blank_text_in_a_required_field(fault: BadRecord) -> None:
    assert fault.field in REQUIRED
    assert spoiled(fault)[fault.field].strip() == ""


@pytest.mark.parametrize("fault", of("bad_type"))
def test_a_bad_type_is_neither_text_nor_what_an_id_may_be(fault: BadRecord) -> None:
    assert fault.field is not None
    value = spoiled(fault)[fault.field]
    assert not isinstance(value, str)
    assert fault.field not in {"user_id", "product_id", "category_id"} or type(value) is not int


@pytest.mark.parametrize("fault", of("negative_price"))
def test_a_negative_price_is_a_number_below_zero(fault: BadRecord) -> None:
    assert float(spoiled(fault)["price"]) < 0


@pytest.mark.parametrize("fault", of("bad_price"))
def test_a_bad_price_does_not_fit_14_and_4_digits(fault: BadRecord) -> None:
    assert not re.fullmatch(r'"?-?[0-9]{1,14}(\.[0-9]{1,4})?"?', fault.changes["price"])


@pytest.mark.parametrize("fault", of("bad_time"))
def test_a_bad_time_is_no_iso_time_in_any_form(fault: BadRecord) -> None:
    with pytest.raises((ValueError, TypeError)):
        datetime.fromisoformat(json.loads(fault.changes["event_time"].replace(" UTC", "")))


@pytest.mark.parametrize("fault", of("not_an_object"))
def test_what_is_no_object_replaces_the_whole_record(fault: BadRecord) -> None:
    assert not isinstance(json.loads(fault.spoil(GOOD)), dict)
    assert fault.field is None
