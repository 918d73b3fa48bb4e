"""What a sync leaves in Salesforce, in the state tables and in the lake."""

from __future__ import annotations

from typing import Any

COUNTS = ("created", "updated", "unchanged", "failed", "invalid")


def counts(details: dict[str, Any]) -> tuple[int, ...]:
    return tuple(details[name] for name in COUNTS)


async def test_a_first_sync_creates_every_row_with_the_values_of_the_signals(bench: Any, make: Any) -> None:
    details = await bench.synced("r1", make.signals(250))
    assert counts(details) == (250, 0, 0, 0, 0)
    records = bench.emulator.records()
    assert len(records) == 250
    record = records["c000007|2026-01-05"]
    assert record["Total_Spend_Week__c"] == 120.5
    assert record["Top_Category__c"] == 'electronics, "small"\r\nand more'
    assert record["Top_Brand__c"] == "Ünïcode"
    assert record["Last_Event_At__c"] == "2026-01-09T12:30:15.123+0000"
    assert record["Week_End__c"] == "2026-01-11"


async def test_an_unchanged_week_sends_nothing(bench: Any, make: Any) -> None:
    await bench.synced("r1", make.signals(50))
    details = await bench.synced("r2", make.signals(50), force=True)
    assert counts(details) == (0, 0, 50, 0, 0)
    assert bench.emulator.stats()["objects"]["Customer_Weekly_Metric__c"]["attempts"] == 50
