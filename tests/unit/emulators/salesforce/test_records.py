from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.errors import RowFailure
from libs.emulators.salesforce.faults import FaultBoard, RowError, RowLock
from libs.emulators.salesforce.records import CHUNK_ROWS, Incoming, RecordWriter, Saved
from libs.emulators.salesforce.schema import load_schema

Signal = Callable[..., dict[str, Any]]


def test_an_upsert_creates_and_then_changes_the_same_record(org: Any, signal: Signal) -> None:
    assert org.save([signal("a|1")]) == [Saved(1, created=True)]
    assert org.save([signal("a|1", Orders_Week__c=3)]) == [Saved(1, created=False)]
    assert org.count("SELECT COUNT() FROM Customer_Weekly_Metric__c WHERE Orders_Week__c = 3") == 1


def test_a_field_that_is_not_sent_stays_and_a_null_clears(org: Any, signal: Signal) -> None:
    org.save([signal("a|1", Top_Brand__c="x", Top_Category__c="y")])
    org.save([{"External_Signal_Id__c": "a|1", "Top_Brand__c": None}])
    (record,) = org.query("SELECT Top_Brand__c, Top_Category__c FROM Customer_Weekly_Metric__c")
    assert (record["Top_Brand__c"], record["Top_Category__c"]) == (None, "y")


def test_external_ids_are_matched_without_regard_to_case(org: Any, signal: Signal) -> None:
    org.save([signal("Abc|1")])
    assert org.save([signal("aBC|1")]) == [Saved(1, created=False)]
    (record,) = org.query("SELECT External_Signal_Id__c FROM Customer_Weekly_Metric__c")
    assert record["External_Signal_Id__c"] == "Abc|1"


def test_rows_of_one_chunk_that_share_an_external_id_are_all_refused(org: Any, signal: Signal) -> None:
    first, other, second = org.save([signal("a|1"), signal("b|1"), signal("A|1")])
    assert str(first) == "DUPLICATE_VALUE:Duplicate external id specified: a|1:External_Signal_Id__c --"
    assert isinstance(second, RowFailure)
    assert isinstance(other, Saved)
    assert org.count("SELECT COUNT() FROM Customer_Weekly_Metric__c") == 1


def test_rows_of_different_chunks_that_share_an_external_id_are_an_insert_and_an_update(
    org: Any, signal: Signal
) -> None:
    rows = [signal(f"{number}|1") for number in range(CHUNK_ROWS)] + [signal("0|1", Orders_Week__c=9)]
    outcomes = org.save(rows)
    assert outcomes[0] == Saved(1, created=True)
    assert outcomes[-1] == Saved(1, created=False)


def test_a_row_without_its_external_id_is_refused(org: Any) -> None:
    (outcome,) = org.save([{"External_Signal_Id__c": None}])
    assert str(outcome) == "MISSING_ARGUMENT:External_Signal_Id__c not specified:--"


def test_a_new_record_needs_its_required_fields_and_an_old_one_keeps_them(org: Any, signal: Signal) -> None:
    (outcome,) = org.save([{"External_Signal_Id__c": "a|1", "Week_End__c": "2019-10-13"}])
    assert str(outcome) == (
        "REQUIRED_FIELD_MISSING:Required fields are missing: [External_Customer_Id__c, Week_Start__c]:"
        "External_Customer_Id__c, Week_Start__c --"
    )
    org.save([signal("a|1")])
    (changed,) = org.save([{"External_Signal_Id__c": "a|1", "Week_Start__c": None}])
    assert isinstance(changed, RowFailure)
    assert changed.code == "REQUIRED_FIELD_MISSING"


def test_a_read_only_field_is_refused(org: Any, signal: Signal) -> None:
    (outcome,) = org.save([signal("a|1", CreatedDate="2026-01-01T00:00:00.000+0000")])
    assert isinstance(outcome, RowFailure)
    assert (outcome.code, outcome.fields) == ("INVALID_FIELD_FOR_INSERT_UPDATE", ("CreatedDate",))


def test_an_insert_with_a_taken_external_id_names_the_record_that_holds_it(org: Any, signal: Signal) -> None:
    org.save([signal("a|1")])
    taken, free = org.save([signal("A|1"), signal("b|1")], "insert")
    assert str(taken) == (
        "DUPLICATE_VALUE:duplicate value found: External_Signal_Id__c duplicates value on record with id: "
        f"{org.metric.ids.encode(1)}:External_Signal_Id__c --"
    )
    assert isinstance(free, Saved)
    assert org.count("SELECT COUNT() FROM Customer_Weekly_Metric__c") == 2


def test_an_update_finds_its_record_by_id_and_refuses_an_unknown_one(org: Any, signal: Signal) -> None:
    org.save([signal("a|1")])
    known, unknown = org.save([{"Id": 1, "Orders_Week__c": 7}, {"Id": 99, "Orders_Week__c": 7}], "update")
    assert known == Saved(1, created=False)
    assert str(unknown) == "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--"


def test_a_deleted_record_is_only_seen_by_query_all_and_frees_its_external_id(org: Any, signal: Signal) -> None:
    org.save([signal("a|1")])
    assert org.save([{"Id": 1}], "delete") == [Saved(1, created=False)]
    soql = "SELECT Id, IsDeleted FROM Customer_Weekly_Metric__c"
    assert org.query(soql) == []
    assert [record["IsDeleted"] for record in org.query(soql, with_deleted=True)] == [True]
    assert org.save([signal("a|1")]) == [Saved(2, created=True)]


def test_names_are_numbered_and_both_dates_are_set(org: Any, signal: Signal) -> None:
    org.save([signal("a|1")])
    (record,) = org.query("SELECT Name, CreatedDate, SystemModstamp, OwnerId FROM Customer_Weekly_Metric__c")
    assert record["Name"] == "CWM-00000001"
    assert record["CreatedDate"] == record["SystemModstamp"] == "2026-01-05T06:00:00.000+0000"
    assert record["OwnerId"].startswith("005")


def test_a_locked_row_is_refused_as_often_as_the_fault_says(org: Any, signal: Signal) -> None:
    org.faults.add([RowLock(external_ids=("a|1",), times=2)])
    rows = [signal("a|1"), signal("b|1")]
    codes = [[getattr(outcome, "code", None) for outcome in org.save(rows)] for _ in range(3)]
    assert codes == [["UNABLE_TO_LOCK_ROW", None], ["UNABLE_TO_LOCK_ROW", None], [None, None]]


def test_every_nth_row_can_be_locked(org: Any, signal: Signal) -> None:
    org.faults.add([RowLock(every=3, times=None)])
    outcomes = org.save([signal(f"{number}|1") for number in range(7)])
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, RowFailure)] == [2, 5]


def test_a_set_row_error_strikes_for_ever(org: Any, signal: Signal) -> None:
    org.faults.add([RowError(external_ids=("a|1",), code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no")])
    for _ in range(2):
        assert [str(outcome) for outcome in org.save([signal("a|1")])] == ["FIELD_CUSTOM_VALIDATION_EXCEPTION:no:--"]


def test_every_arrival_of_an_external_id_is_counted_also_of_a_refused_row(org: Any, signal: Signal) -> None:
    org.faults.add([RowLock(external_ids=("a|1",), times=1)])
    org.save([signal("a|1")])
    org.save([signal("a|1"), signal("b|1")])
    counted = dict(org.database.writer.execute("SELECT external_id, times FROM attempt"))
    assert counted == {"a|1": 2, "b|1": 1}


def test_a_transaction_that_fails_leaves_nothing(org: Any, signal: Signal) -> None:
    def save_and_fail() -> None:
        with org.database.writing() as connection:
            connection.execute("INSERT INTO attempt VALUES ('x', 'y', 1)")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        save_and_fail()
    assert org.database.writer.execute("SELECT COUNT(*) FROM attempt").fetchone() == (0,)


def test_an_external_id_that_two_records_share_cannot_be_upserted(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(
        '[{"name": "X__c", "label": "X", "labelPlural": "Xs", "keyPrefix": "a0X", "nameFormat": "X-{}", "fields": '
        '[{"name": "Ext__c", "type": "string", "length": 9, "externalId": true}]}]'
    )
    schema = load_schema(path)
    one = schema.objects[0]
    database = Database(tmp_path / "db", schema)
    with database.writing() as connection:
        made = RecordWriter(connection, one, "insert", match=None, faults=FaultBoard(), now="")
        made.save([Incoming({"Ext__c": "a"}), Incoming({"Ext__c": "a"})])
        matched = RecordWriter(connection, one, "upsert", match=one.field("Ext__c"), faults=FaultBoard(), now="")
        (outcome,) = matched.save([Incoming({"Ext__c": "A"})])
    database.close()
    assert isinstance(outcome, RowFailure)
    assert outcome.code == "DUPLICATE_EXTERNAL_ID"
    assert one.ids.encode(1) in outcome.message
