"""An org without the network: schema, database and fault board in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libs.emulators.salesforce.database import Database
from libs.emulators.salesforce.faults import FaultBoard
from libs.emulators.salesforce.records import Incoming, Operation, Outcome, RecordWriter
from libs.emulators.salesforce.schema import Schema, SObject, load_schema
from libs.emulators.salesforce.soql.cursors import Cursors

NOW = "2026-01-05T06:00:00.000+0000"


@dataclass
class OfflineOrg:
    """The parts that tests drive directly."""

    schema: Schema
    database: Database
    faults: FaultBoard = field(default_factory=FaultBoard)

    @property
    def metric(self) -> SObject:
        one = self.schema.find("Customer_Weekly_Metric__c")
        assert one is not None
        return one

    def save(
        self, rows: list[dict[str, Any]], operation: Operation = "upsert", match: str = "External_Signal_Id__c"
    ) -> list[Outcome]:
        with self.database.writing() as connection:
            writer = RecordWriter(
                connection, self.metric, operation, match=self.metric.field(match), faults=self.faults, now=NOW
            )
            return writer.save([Incoming(row) for row in rows])

    def query(self, soql: str, **options: Any) -> list[dict[str, Any]]:
        page = Cursors(self.database, self.schema).query(
            soql, "/services/data/v59.0", **{"with_deleted": False} | options
        )
        records: list[dict[str, Any]] = page["records"]
        return records

    def count(self, soql: str) -> int:
        page = Cursors(self.database, self.schema).query(soql, "/services/data/v59.0", with_deleted=False)
        return int(page["totalSize"])


@pytest.fixture
def org(tmp_path: Path) -> Iterator[OfflineOrg]:
    schema = load_schema()
    database = Database(tmp_path / "salesforce.sqlite", schema)
    yield OfflineOrg(schema, database)
    database.close()


@pytest.fixture
def signal() -> Callable[..., dict[str, Any]]:
    """Builds one complete record in stored form, with overrides."""

    def build(key: str, **overrides: Any) -> dict[str, Any]:
        return {
            "External_Signal_Id__c": key,
            "External_Customer_Id__c": key.split("|")[0],
            "Week_Start__c": "2019-10-07",
            "Week_End__c": "2019-10-13",
            "Total_Spend_Week__c": 1250,
            "Orders_Week__c": 2,
        } | overrides

    return build
