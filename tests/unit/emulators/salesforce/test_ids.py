from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.emulators.salesforce.ids import IdCodec, normalise_id


@given(st.integers(min_value=0, max_value=62**9 - 1))
def test_an_id_leads_back_to_its_sequence_number_with_and_without_the_check_characters(sequence: int) -> None:
    codec = IdCodec("a0W")
    record_id = codec.encode(sequence)
    assert len(record_id) == 18
    assert codec.decode(record_id) == sequence
    assert codec.decode(record_id[:15]) == sequence


def test_the_check_characters_follow_the_published_rule() -> None:
    assert normalise_id("001D000000IRFma") == "001D000000IRFmaIAH"


@pytest.mark.parametrize("text", ["", "a0W", "0015e0000000001AAA", "a0W5e0000000001AAB", "a0W5e0000000001!AA"])
def test_what_is_no_id_of_the_object_is_not_decoded(text: str) -> None:
    assert IdCodec("a0W").decode(text) is None
