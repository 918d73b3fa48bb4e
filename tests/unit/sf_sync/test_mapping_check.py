"""The mapping is held against the org before anything is sent, and all that is wrong is said at once."""

from __future__ import annotations

from typing import Any

import pytest

from services.sf_sync.errors import MappingError
from services.sf_sync.mapping import parse_mapping
from services.sf_sync.mapping_check import picklist_columns, resolve
from services.sf_sync.patience import Patience
from services.sf_sync.source import SIGNALS_SCHEMA

LINES = """
object = "Metric__c"
external_id = "Id__c"
[fields]
Id__c = { column = "external_signal_id" }
"""


def field(name: str, kind: str = "string", **changes: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "createable": True, "updateable": True, "nillable": True, **changes}


KEY = field("Id__c", externalId=True, unique=True, length=255)


def check(lines: str, *fields: dict[str, Any], **distinct: list[str]) -> None:
    resolve(parse_mapping(LINES + lines), SIGNALS_SCHEMA, {"fields": [KEY, *fields]}, distinct)


def test_all_faults_come_in_one_message() -> None:
    lines = """
Total__c = { column = "total_spend_wek" }
Sumn__c = { column = "orders_week" }
Views__c = { column = "views_week" }
Formula__c = { column = "top_brand" }
Spend__c = { column = "total_spend_week" }
Tier__c = { column = "customer_tier" }
"""
    tiers = field("Tier__c", "picklist", restrictedPicklist=True, picklistValues=[{"value": "gold", "active": True}])
    with pytest.raises(MappingError) as raised:
        check(
            lines,
            field("Total__c", "double"),
            field("Sum__c", "double"),
            field("Views__c", "date"),
            field("Formula__c", createable=False, updateable=False),
            field("Spend__c", "double", scale=0),
            tiers,
            field("Must__c", nillable=False),
            customer_tier=["gold", "wood"],
        )
    told = str(raised.value)
    assert "has 8 fault(s), nothing was sent" in told
    for part in (
        "no column 'total_spend_wek' (did you mean 'total_spend_week'?)",
        "Metric__c has no such field (did you mean 'Sum__c'?)",
        "Views__c: is of type date in Salesforce, which takes no number",
        "createable is false",
        "Spend__c: holds 0 decimals, column total_spend_week has 2",
        "Tier__c: the picklist has no value 'wood'",
        "Must__c: is required by Salesforce but not mapped",
    ):
        assert part in told


def test_an_external_id_that_is_none_or_not_unique_is_refused() -> None:
    plain = field("Id__c", externalId=False, unique=False)
    with pytest.raises(MappingError, match="is no External ID") as raised:
        resolve(parse_mapping(LINES), SIGNALS_SCHEMA, {"fields": [plain]})
    assert "is not unique" in str(raised.value)


def test_only_columns_of_restricted_picklists_are_read_for_their_values() -> None:
    mapping = parse_mapping(LINES + 'Tier__c = { column = "customer_tier" }\nBrand__c = { column = "top_brand" }')
    tier = field("Tier__c", "picklist", restrictedPicklist=True)
    assert picklist_columns(mapping, {"fields": [KEY, tier, field("Brand__c", "picklist")]}) == ["customer_tier"]


def test_waits_for_a_job_grow_by_half_to_the_longest_and_are_jittered() -> None:
    calm = Patience(first_sec=1, max_sec=30, total_sec=100, draw=lambda: 0.0)
    assert [calm.wait(look) for look in range(3)] == [1, 1.5, 2.25]
    assert calm.wait(1000) == 30
    assert Patience(first_sec=1, max_sec=30, total_sec=100, draw=lambda: 1.0).wait(1000) == pytest.approx(24)
