from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.salesforce.errors import RowRefused
from libs.emulators.salesforce.ids import IdCodec
from libs.emulators.salesforce.schema import Field, FieldType
from libs.emulators.salesforce.values import Stored, WrongType, converter, decimal_text, from_csv, from_json

IDS = IdCodec("a0W")
MONEY = Field(name="Total_Spend__c", type="currency", precision=18, scale=2)
TEXT = Field(name="Top_Brand__c", type="string", length=5)
TIER = Field(name="Tier__c", type="picklist", length=255, picklist_values=("gold", "silver"))


def convert(field: Field, text: str) -> Stored:
    return converter(field, IDS)(text)


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=2))
def test_money_is_kept_exactly(amount: Decimal) -> None:
    stored = convert(MONEY, str(amount))
    assert isinstance(stored, int)
    assert Decimal(decimal_text(stored, 2)) == amount


@pytest.mark.parametrize(
    ("text", "stored"),
    [("12.5", 1250), ("12", 1200), (".5", 50), ("1.005", 101), ("-1.005", -101), ("1e3", 100000), (" 7.10 ", 710)],
)
def test_numbers_are_read_and_rounded_half_up_to_the_scale(text: str, stored: int) -> None:
    assert convert(MONEY, text) == stored


@pytest.mark.parametrize("text", ["abc", "NaN", "INF", "1_000", "1,5", "٣", "--1", "0x10"])
def test_what_is_no_number_is_of_the_wrong_type(text: str) -> None:
    with pytest.raises(WrongType):
        convert(MONEY, text)


@pytest.mark.parametrize("text", ["10000000000000000", "-10000000000000000.00", "1e300"])
def test_a_number_with_too_many_digits_is_out_of_range(text: str) -> None:
    with pytest.raises(RowRefused, match="NUMBER_OUTSIDE_VALID_RANGE:Total Spend: value outside of valid range"):
        convert(MONEY, text)


@pytest.mark.parametrize("text", ["2147483648", "-2147483649"])
def test_an_integer_field_has_32_bits(text: str) -> None:
    with pytest.raises(RowRefused, match="NUMBER_OUTSIDE_VALID_RANGE"):
        convert(Field(name="N__c", type="int"), text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000+0000"),
        ("2026-01-31T10:00:00.123999Z", "2026-01-31T10:00:00.123+0000"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00.000+0000"),
        ("2026-01-31T10:00:00.5-0800", "2026-01-31T18:00:00.500+0000"),
        ("2026-01-31T10:00:00", "2026-01-31T10:00:00.000+0000"),
        ("2026-01-31", "2026-01-31T00:00:00.000+0000"),
    ],
)
def test_date_times_become_utc_milliseconds(text: str, stored: str) -> None:
    assert convert(Field(name="At__c", type="datetime"), text) == stored


@pytest.mark.parametrize("text", ["2026-01-31 10:00:00", "2026-02-30T00:00:00Z", "20260131T100000Z", "now", "1"])
def test_other_forms_of_date_times_are_of_the_wrong_type(text: str) -> None:
    with pytest.raises(WrongType):
        convert(Field(name="At__c", type="datetime"), text)


@pytest.mark.parametrize("text", ["2026-1-31", "31/01/2026", "2026-02-30", "20260131", "2026-W05-6", "2026-01-31T00"])
def test_dates_have_one_form_only(text: str) -> None:
    with pytest.raises(WrongType):
        convert(Field(name="Day__c", type="date"), text)


def test_text_is_trimmed_and_blank_text_is_null() -> None:
    assert convert(TEXT, "  abc ") == "abc"
    assert convert(TEXT, "   ") is None


def test_text_over_the_length_is_refused_in_salesforces_words() -> None:
    with pytest.raises(RowRefused) as refused:
        convert(TEXT, "Samsung")
    assert str(refused.value.failure) == (
        "STRING_TOO_LONG:Top Brand: data value too large: Samsung (max length=5):Top_Brand__c --"
    )


def test_a_picklist_value_is_stored_as_defined_and_others_are_refused() -> None:
    assert convert(TIER, "GOLD") == "gold"
    with pytest.raises(RowRefused, match="Tier: bad value for restricted picklist field: tin:Tier__c --"):
        convert(TIER, "tin")


@pytest.mark.parametrize(("text", "stored"), [("true", 1), ("TRUE", 1), ("1", 1), ("no", 0), ("Off", 0)])
def test_booleans_have_many_spellings(text: str, stored: int) -> None:
    assert convert(Field(name="B__c", type="boolean"), text) == stored


def test_a_cell_of_the_wrong_type_names_its_column_value_and_type() -> None:
    with pytest.raises(RowRefused) as refused:
        from_csv(Field(name="Day__c", type="date"), 3, IDS)("soon")
    assert str(refused.value.failure) == (
        "INVALID_FIELD:Failed to deserialize field at col 3. Due to, 'soon' is not a valid value for the type "
        "xsd:date:Day__c --"
    )


def test_json_values_are_read_by_the_same_rules() -> None:
    money = converter(MONEY, IDS)
    assert from_json(money, Decimal("12.50")) == 1250
    assert from_json(money, "12.50") == 1250
    assert from_json(money, None) is None
    assert from_json(converter(TEXT, IDS), "") is None
    assert from_json(converter(Field(name="B__c", type="boolean"), IDS), True) == 1
    with pytest.raises(WrongType):
        from_json(money, [1])
    with pytest.raises(WrongType):
        from_json(money, True)


@pytest.mark.parametrize(("scaled", "scale", "text"), [(1250, 2, "12.5"), (300, 0, "300.0"), (-5, 2, "-0.05")])
def test_decimals_are_rendered_as_salesforce_does(scaled: int, scale: int, text: str) -> None:
    assert decimal_text(scaled, scale) == text


def test_an_open_picklist_takes_any_value() -> None:
    assert convert(Field(name="P__c", type="picklist", length=9, restricted_picklist=False), "tin") == "tin"


def test_a_reference_must_have_the_form_of_an_id_and_is_stored_in_full() -> None:
    owner = Field(name="OwnerId", type="reference")
    assert convert(owner, "001D000000IRFma") == "001D000000IRFmaIAH"
    with pytest.raises(RowRefused, match="MALFORMED_ID"):
        convert(owner, "somebody")


@pytest.mark.parametrize(("kind", "text"), [("int", "1.5"), ("int", "x"), ("int", "NaN"), ("boolean", "perhaps")])
def test_whole_numbers_and_booleans_take_nothing_else(kind: FieldType, text: str) -> None:
    with pytest.raises(WrongType):
        convert(Field(name="X__c", type=kind), text)
