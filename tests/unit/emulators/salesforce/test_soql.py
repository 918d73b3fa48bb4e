from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from libs.emulators.salesforce.errors import ApiError
from libs.emulators.salesforce.soql.cursors import Cursors
from libs.emulators.salesforce.soql.lexer import unquoted
from libs.emulators.salesforce.soql.parser import parse
from libs.emulators.salesforce.soql.syntax import Comparison, Logical, Not, SoqlError

METRIC = "Customer_Weekly_Metric__c"
BASE = "/services/data/v59.0"


@pytest.fixture
def people(org: Any, signal: Callable[..., dict[str, Any]]) -> Any:
    """Four records: ann, bob, Cid, d%e; the last has neither brand nor orders."""
    org.save(
        [
            signal("ann", Total_Spend_Week__c=1050, Orders_Week__c=1, Top_Brand__c="acme", Customer_Tier__c="gold"),
            signal("bob", Total_Spend_Week__c=2000, Orders_Week__c=2, Top_Brand__c="Acme", Week_Start__c="2019-10-14"),
            signal("Cid", Total_Spend_Week__c=-5, Orders_Week__c=3, Top_Brand__c="o'hara \\ co"),
            signal(
                "d%e", Total_Spend_Week__c=None, Orders_Week__c=None, Refreshed_At__c="2026-01-01T00:00:00.500+0000"
            ),
        ]
    )
    return org


def keys(org: Any, where: str, order: str = "ORDER BY Id") -> list[str]:
    records = org.query(f"SELECT External_Signal_Id__c FROM {METRIC} WHERE {where} {order}")
    return [record["External_Signal_Id__c"] for record in records]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("External_Signal_Id__c = 'ANN'", ["ann"]),
        ("external_signal_id__c != 'ann'", ["bob", "Cid", "d%e"]),
        ("Total_Spend_Week__c = 10.5", ["ann"]),
        ("Total_Spend_Week__c > 10.499", ["ann", "bob"]),
        ("Total_Spend_Week__c < 0", ["Cid"]),
        ("Total_Spend_Week__c = null", ["d%e"]),
        ("Total_Spend_Week__c != NULL", ["ann", "bob", "Cid"]),
        ("Orders_Week__c >= 2 AND Orders_Week__c <= 2", ["bob"]),
        ("Orders_Week__c != 2", ["ann", "Cid", "d%e"]),
        ("Orders_Week__c <> 2", ["ann", "Cid", "d%e"]),
        ("NOT Orders_Week__c > 1", ["ann", "d%e"]),
        ("NOT (Orders_Week__c = 1 OR Orders_Week__c = 2)", ["Cid", "d%e"]),
        ("Orders_Week__c = 1 OR Orders_Week__c = 2 AND Top_Brand__c = 'none'", ["ann"]),
        ("(Orders_Week__c = 1 OR Orders_Week__c = 2) AND Top_Brand__c = 'ACME'", ["ann", "bob"]),
        ("Top_Brand__c IN ('acme')", ["ann", "bob"]),
        ("Top_Brand__c IN ('acme', null)", ["ann", "bob", "d%e"]),
        ("Top_Brand__c NOT IN ('acme')", ["Cid", "d%e"]),
        ("Orders_Week__c NOT IN (1, 2, null)", ["Cid"]),
        ("Top_Brand__c = 'O\\'Hara \\\\ co'", ["Cid"]),
        ("External_Signal_Id__c LIKE '_n%'", ["ann"]),
        ("External_Signal_Id__c LIKE 'd\\%%'", ["d%e"]),
        ("External_Signal_Id__c LIKE '%\\_%'", []),
        ("Top_Brand__c LIKE '%\\\\ co'", ["Cid"]),
        ("Week_Start__c = 2019-10-14", ["bob"]),
        ("Week_Start__c < 2019-10-14", ["ann", "Cid", "d%e"]),
        ("Refreshed_At__c > 2026-01-01T00:00:00Z", ["d%e"]),
        ("Refreshed_At__c = 2026-01-01T01:00:00.500+01:00", ["d%e"]),
        ("IsDeleted = false", ["ann", "bob", "Cid", "d%e"]),
        ("IsDeleted = TRUE", []),
        ("Customer_Tier__c = 'Gold'", ["ann"]),
        ("Customer_Tier__c = 'unheard of'", []),
        (f"{METRIC}.Orders_Week__c = 1", ["ann"]),
    ],
)
def test_a_condition_finds_what_salesforce_would(people: Any, where: str, expected: list[str]) -> None:
    assert keys(people, where) == expected


def test_a_record_is_found_by_its_id_in_both_forms(people: Any) -> None:
    record_id = people.metric.ids.encode(2)
    assert keys(people, f"Id = '{record_id}'") == ["bob"]
    assert keys(people, f"Id IN ('{record_id[:15]}')") == ["bob"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("ORDER BY Orders_Week__c", ["d%e", "ann", "bob", "Cid"]),
        ("ORDER BY Orders_Week__c DESC", ["d%e", "Cid", "bob", "ann"]),
        ("ORDER BY Orders_Week__c DESC NULLS LAST", ["Cid", "bob", "ann", "d%e"]),
        ("ORDER BY Orders_Week__c ASC NULLS FIRST LIMIT 2", ["d%e", "ann"]),
        ("ORDER BY External_Signal_Id__c LIMIT 2 OFFSET 1", ["bob", "Cid"]),
        ("ORDER BY Week_Start__c DESC, External_Signal_Id__c DESC", ["bob", "d%e", "Cid", "ann"]),
    ],
)
def test_results_are_ordered_and_cut(people: Any, order: str, expected: list[str]) -> None:
    assert keys(people, "IsDeleted = false", order) == expected


def test_a_count_is_the_total_size(people: Any) -> None:
    assert people.count(f"SELECT COUNT() FROM {METRIC} WHERE Orders_Week__c > 1") == 2


def test_aggregates_are_exact_and_named(people: Any) -> None:
    (record,) = people.query(
        f"SELECT COUNT(Id), SUM(Total_Spend_Week__c) total, AVG(Total_Spend_Week__c), MAX(Week_Start__c), "
        f"COUNT_DISTINCT(Top_Brand__c) brands FROM {METRIC}"
    )
    assert record["attributes"] == {"type": "AggregateResult"}
    assert (record["expr0"], bytes(record["total"]), record["brands"]) == (4, b"30.45", 2)
    assert record["expr1"] == pytest.approx(10.15)
    assert record["expr2"] == "2019-10-14"


def test_aggregates_are_grouped(people: Any) -> None:
    records = people.query(
        f"SELECT Week_Start__c, COUNT(Id) n FROM {METRIC} GROUP BY Week_Start__c ORDER BY Week_Start__c"
    )
    assert [(record["Week_Start__c"], record["n"]) for record in records] == [("2019-10-07", 3), ("2019-10-14", 1)]


def test_a_long_result_comes_in_pages_that_keep_their_records(org: Any, signal: Callable[..., dict[str, Any]]) -> None:
    org.save([signal(f"{number:04d}") for number in range(450)])
    cursors = Cursors(org.database, org.schema)
    page = cursors.query(
        f"SELECT External_Signal_Id__c FROM {METRIC} ORDER BY Id", BASE, with_deleted=False, page_rows=200
    )
    org.save([signal("new")])
    seen = page["records"]
    while not page["done"]:
        page = cursors.more(page["nextRecordsUrl"].removeprefix(f"{BASE}/query/"), BASE)
        seen = seen + page["records"]
    assert page["totalSize"] == 450
    assert [record["External_Signal_Id__c"] for record in seen] == [f"{number:04d}" for number in range(450)]


def test_an_unknown_page_is_refused(org: Any) -> None:
    with pytest.raises(ApiError, match="INVALID_QUERY_LOCATOR"):
        Cursors(org.database, org.schema).more("nothing-2000", BASE)


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("", "MALFORMED_QUERY"),
        ("SELECT", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE Name = 'x", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} LIMIT x", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE Name = 'x' 'y'", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE Name = 'a\\qb'", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE Name IN ()", "MALFORMED_QUERY"),
        (f"SELECT Id, Id FROM {METRIC}", "MALFORMED_QUERY"),
        (f"SELECT Name, COUNT(Id) FROM {METRIC}", "MALFORMED_QUERY"),
        (f"SELECT COUNT(), Id FROM {METRIC}", "MALFORMED_QUERY"),
        (f"SELECT UPPER(Name) FROM {METRIC}", "MALFORMED_QUERY"),
        (f"SELECT Id FROM {METRIC} WHERE Week_Start__c = 2019-13-01", "MALFORMED_QUERY"),
        ("SELECT Id FROM Nothing__c", "INVALID_TYPE"),
        (f"SELECT Nothing__c FROM {METRIC}", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Owner.Name = 'x'", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Orders_Week__c = '1'", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Name = 1", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Week_Start__c = '2019-10-07'", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Week_Start__c LIKE '2019%'", "INVALID_FIELD"),
        (f"SELECT SUM(Name) FROM {METRIC}", "INVALID_FIELD"),
        (f"SELECT Id FROM {METRIC} WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        (f"SELECT Id FROM {METRIC} OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_a_faulty_query_is_refused_with_salesforces_code(org: Any, soql: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        org.query(soql)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_and_binds_closer_than_or_and_not_closest() -> None:
    where = parse("SELECT Id FROM A WHERE NOT a = 1 AND b = 2 OR c = 3").where
    assert isinstance(where, Logical)
    assert where.operator == "OR"
    inner, last = where.conditions
    assert isinstance(inner, Logical)
    assert isinstance(inner.conditions[0], Not)
    assert isinstance(last, Comparison)


def test_escapes_of_a_string_are_resolved() -> None:
    assert unquoted(r"'a\'b\\c\nd'") == "a'b\\c\nd"
    assert unquoted(r"'50\%'", like=True) == r"50\%"
    with pytest.raises(SoqlError, match="Illegal character sequence"):
        unquoted(r"'\x'")
