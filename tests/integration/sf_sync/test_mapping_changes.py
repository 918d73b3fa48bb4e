"""What users change in the mapping file, and what the next sync of the week makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.sf_sync.errors import MappingError
from services.sf_sync.mapping import DEFAULT_MAPPING


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """The shipped mapping with text replaced."""

    def edit(*changes: tuple[str, str]) -> Path:
        text = DEFAULT_MAPPING.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mapping.toml"
        path.write_text(text)
        return path

    return edit


async def test_a_field_that_is_mapped_anew_reaches_every_row_of_the_week(
    bench: Any, make: Any, edited: Callable[..., Path]
) -> None:
    await bench.synced("r1", make.signals(20), sf_mapping_file=edited(("Views_Week__c =", "#")))
    assert {record["Views_Week__c"] for record in bench.emulator.records().values()} == {None}
    details = await bench.synced("r2", make.signals(20), force=True)
    assert (details["updated"], details["unchanged"]) == (20, 0)
    assert {record["Views_Week__c"] for record in bench.emulator.records().values()} == {10}
    assert (await bench.synced("r3", make.signals(20), force=True))["unchanged"] == 20


async def test_a_policy_that_becomes_clear_empties_what_was_kept(
    bench: Any, make: Any, edited: Callable[..., Path]
) -> None:
    await bench.synced("r1", make.signals(3))
    nothing = make.signals(3, customer_tier=None)
    assert (await bench.synced("r2", nothing, force=True))["unchanged"] == 3
    clears = edited(('column = "customer_tier"', 'column = "customer_tier", on_null = "clear"'))
    details = await bench.synced("r3", nothing, force=True, sf_mapping_file=clears)
    assert details["updated"] == 3
    assert {record["Customer_Tier__c"] for record in bench.emulator.records().values()} == {None}


async def test_a_column_that_is_not_compared_travels_with_the_others_and_alone_sends_nothing(
    bench: Any, make: Any
) -> None:
    await bench.synced("r1", make.signals(3))
    noon = make.signal("x")["last_event_at"]
    assert (await bench.synced("r2", make.signals(3, refreshed_at=noon), force=True))["unchanged"] == 3
    await bench.synced("r3", make.signals(3, refreshed_at=noon, orders_week=9), force=True)
    record = bench.emulator.records()["c000000|2026-01-05"]
    assert (record["Refreshed_At__c"], record["Orders_Week__c"]) == ("2026-01-09T12:30:15.123+0000", 9)


@pytest.mark.parametrize("way", [{"sf_collections_below": 0}, {"sf_collections_below": 2000}])
async def test_a_full_sync_sends_every_row_and_an_ordinary_one_what_changed(
    bench: Any, make: Any, way: dict[str, int]
) -> None:
    rows = make.signals(10)
    await bench.synced("r1", rows, **way)
    details = await bench.synced("r2", rows, force=True, full_sync=True, **way)
    assert (details["updated"], details["unchanged"]) == (10, 0)
    rows[4] = rows[4] | {"orders_week": 99}
    details = await bench.synced("r3", [*rows, make.signal("new")], force=True, **way)
    assert (details["created"], details["updated"], details["unchanged"]) == (1, 1, 9)
    attempts = bench.emulator.attempts()
    assert (attempts["c000004|2026-01-05"], attempts["c000005|2026-01-05"], attempts["new|2026-01-05"]) == (3, 2, 1)


async def test_an_object_that_the_org_does_not_have_is_a_fault_of_the_mapping_told_with_the_others(
    bench: Any, make: Any, edited: Callable[..., Path]
) -> None:
    wrong = edited(('"Customer_Weekly_Metric__c"', '"Custmer_Weekly_Metric__c"'), ('"orders_week"', '"order_week"'))
    message = await bench.passed("r1", make.signals(3))
    with pytest.raises(MappingError, match=r"has 2 fault\(s\), nothing was sent") as raised:
        await bench.handle(message, sf_mapping_file=wrong)
    assert "Salesforce has no such object" in str(raised.value)
    assert "the signals have no column 'order_week'" in str(raised.value)


async def test_faults_of_a_mapping_come_together_and_nothing_is_sent(
    bench: Any, make: Any, edited: Callable[..., Path]
) -> None:
    wrong = edited(
        ("Views_Week__c", "Viws_Week__c"),
        ('"orders_week"', '"order_week"'),
        ('Top_Brand__c = { column = "top_brand"', 'Week_Day__c = { column = "customer_tier"'),
        ('Week_End__c = { column = "week_end" }', 'Last_Event_At__c_ = { column = "week_end" }'),
    )
    message = await bench.passed("r1", make.signals(3, customer_tier="tin"))
    with pytest.raises(MappingError, match="nothing was sent") as raised:
        await bench.handle(message, sf_mapping_file=wrong)
    for fault in (
        "Viws_Week__c: Customer_Weekly_Metric__c has no such field (did you mean 'Views_Week__c'?)",
        "the signals have no column 'order_week' (did you mean 'orders_week'?)",
        "Week_Day__c: Customer_Weekly_Metric__c has no such field",
        "Week_End__c: is required by Salesforce but not mapped",
        "Customer_Tier__c: the picklist has no value 'tin'",
    ):
        assert fault in str(raised.value)
    assert bench.emulator.records() == {}
    assert bench.emulator.calls("job_create") == 0
