from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.describe import describe_object
from libs.emulators.salesforce.schema import SchemaError, load_schema

SIGNAL_COLUMNS = [
    "external_signal_id",
    "external_customer_id",
    "week_start",
    "week_end",
    "total_spend_week",
    "orders_week",
    "views_week",
    "carts_week",
    "sessions_week",
    "active_days_week",
    "avg_order_value_week",
    "last_event_at",
    "top_category",
    "top_brand",
    "customer_tier",
    "refreshed_at",
]


def described_fields() -> dict[str, dict[str, Any]]:
    one = load_schema().find("customer_weekly_metric__C")
    assert one is not None
    return {field["name"]: field for field in describe_object(one, "59.0")["fields"]}


def one_object(**changes: Any) -> str:
    declared = {"name": "X__c", "label": "X", "labelPlural": "Xs", "keyPrefix": "a0X", "fields": []} | changes
    return json.dumps([declared])


def test_every_signal_column_has_a_field_with_its_capitalised_name() -> None:
    expected = {column.title() + "__c" for column in SIGNAL_COLUMNS}
    assert expected <= described_fields().keys()


def test_the_external_id_is_unique_required_and_usable_for_look_up() -> None:
    field = described_fields()["External_Signal_Id__c"]
    assert (field["externalId"], field["unique"], field["idLookup"], field["nillable"]) == (True, True, True, False)


def test_money_counts_and_tiers_are_described_with_their_limits() -> None:
    fields = described_fields()
    spend, orders, tier = fields["Total_Spend_Week__c"], fields["Orders_Week__c"], fields["Customer_Tier__c"]
    assert (spend["type"], spend["precision"], spend["scale"]) == ("currency", 18, 2)
    assert (orders["type"], orders["precision"], orders["scale"]) == ("double", 18, 0)
    assert [one["value"] for one in tier["picklistValues"]] == ["platinum", "gold", "silver", "bronze", "prospect"]
    assert tier["restrictedPicklist"] is True


def test_system_fields_cannot_be_written() -> None:
    fields = described_fields()
    for name in ("Id", "Name", "IsDeleted", "CreatedDate", "SystemModstamp"):
        assert not fields[name]["createable"]
        assert not fields[name]["updateable"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[", "truncated"),
        (one_object(keyPrefix="a"), "keyPrefix"),
        (one_object(fields=[{"name": "A__c", "type": "money"}]), "money"),
        (one_object(fields=[{"name": "A__c", "type": "string"}]), "A__c: a string field needs a length"),
        (one_object(fields=[{"name": "A__c", "type": "double", "precision": 20, "scale": 2}]), "precision <= 18"),
        (one_object(fields=[{"name": "A__c", "type": "picklist", "length": 9}]), "needs picklistValues"),
        (one_object(fields=[{"name": "ID", "type": "date"}]), "same name"),
        (one_object(fields=[{"name": 'A"B', "type": "date"}]), "letters, digits and underscores"),
    ],
)
def test_a_faulty_schema_file_is_refused_with_the_place(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(SchemaError, match=complaint):
        load_schema(path)


def test_a_field_that_is_new_in_the_schema_is_added_to_an_existing_database(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(one_object())
    Database(tmp_path / "db", load_schema(path)).close()
    path.write_text(one_object(fields=[{"name": "A__c", "type": "date"}]))
    database = Database(tmp_path / "db", load_schema(path))
    assert database.writer.execute('SELECT "A__c" FROM record_X__c').fetchall() == []
    database.close()


def test_a_field_that_changed_its_type_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(one_object(fields=[{"name": "A__c", "type": "date"}]))
    Database(tmp_path / "db", load_schema(path)).close()
    path.write_text(one_object(fields=[{"name": "A__c", "type": "int"}]))
    with pytest.raises(SchemaError, match="another --data directory"):
        Database(tmp_path / "db", load_schema(path))
