"""What the pipeline is compared with: one process, one loop, the usual libraries.

    python -m tests.bench.baseline --base-url URL --api-key KEY --week-start D --out FOLDER

Fetches the week page by page over one kept connection (requests), keeps the pages as served (zstd), holds every record
to the contract with a Pydantic model, counts fields outside the contract, keeps what is refused with its code, collects
rows into pandas frames of as many events as the loader puts into a file, and writes them sorted as Parquet (zstd), each
with its SHA-256. It has no state, reads nothing back, and cannot go on where it stopped. Prints one JSON object. Needs
requirements/baseline.txt on its path.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import requests
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from libs.common.events.schema import EVENT_SCHEMA, REJECT_SCHEMA
from tests.bench.measure import peak_mb

FILE_EVENTS = 300_000
ROW_GROUP_EVENTS = 64 * 1024
TIMEOUT_SEC = 30
SORTED_BY = ["user_id", "event_time"]


def _instant(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004  # what Pydantic takes for a refusal
    moment = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _id_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Required = StringConstraints(strip_whitespace=True, min_length=1)
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
OptionalText = Annotated[Text | None, BeforeValidator(_blank_is_none)]
OptionalId = Annotated[OptionalText, BeforeValidator(_id_as_text)]
Price = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]


class Event(BaseModel):
    """The contract of an event, as one would write it with Pydantic."""

    model_config = ConfigDict(extra="allow")

    event_time: Annotated[datetime, BeforeValidator(_instant)]
    event_type: Annotated[str, Required, StringConstraints(to_lower=True)]
    product_id: OptionalId = None
    category_id: OptionalId = None
    category_code: OptionalText = None
    brand: OptionalText = None
    price: Annotated[Price | None, BeforeValidator(_blank_is_none)] = None
    user_id: Annotated[str, Required, BeforeValidator(_id_as_text)]
    user_session: OptionalText = None


def reject_code(record: Any, error: ValidationError) -> tuple[str, str | None]:
    """The contract's code for what Pydantic found, and the field."""
    if not isinstance(record, dict):
        return "not_an_object", None
    required = ("event_time", "event_type", "user_id")
    missing = next((name for name in required if record.get(name) is None), None)
    if missing:
        return "missing_field", missing
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0])
    if field in required and isinstance(record[field], str) and not record[field].strip():
        return "empty_value", field
    if field == "event_time":
        return "bad_time", field
    if field == "price":
        return ("negative_price" if first["type"] == "greater_than_equal" else "bad_price"), field
    return "bad_type", field


class Pipeline:
    """Rows and rejects of one week, and the files that they go to."""

    def __init__(self, week_start: date, out: Path) -> None:
        self._week = (week_start, week_start + timedelta(days=6))
        self._out = out
        self._rows: list[dict[str, Any]] = []
        self._rejects: list[tuple[int, int, str, str | None, str, str]] = []
        self._now = datetime.now(UTC)
        self.valid = 0
        self.price = Decimal(0)
        self.reject_counts: Counter[str] = Counter()
        self.unknown_fields: Counter[tuple[str, str]] = Counter()
        self.files: dict[str, str] = {}

    def add(self, page: int, records: list[Any]) -> None:
        for position, record in enumerate(records):
            try:
                event = Event.model_validate(record)
            except ValidationError as error:
                code, field = reject_code(record, error)
                raw = json.dumps(record, default=str)
                self._rejects.append((page, position, code, field, str(error), raw))
            else:
                if event.model_extra:
                    self.unknown_fields.update(
                        (name, type(value).__name__) for name, value in event.model_extra.items()
                    )
                self._rows.append(event.model_dump())
        if len(self._rows) >= FILE_EVENTS:
            self.write_events()

    def write_events(self) -> None:
        events = pd.DataFrame(self._rows).sort_values(SORTED_BY, kind="stable")
        self._rows = []
        events["batch_week_start"], events["batch_week_end"] = self._week
        events["ingested_at"] = self._now
        self._write(events[EVENT_SCHEMA.names], "events", EVENT_SCHEMA)
        self.valid += len(events)
        self.price += events["price"].dropna().sum()

    def finish(self) -> None:
        if self._rows:
            self.write_events()
        self._write(pd.DataFrame(self._rejects, columns=REJECT_SCHEMA.names), "rejects", REJECT_SCHEMA)
        self.reject_counts.update(reject[2] for reject in self._rejects)

    def _write(self, frame: pd.DataFrame, kind: str, schema: pa.Schema) -> None:
        path = self._out / f"{kind}-{len(self.files):05d}.parquet"
        frame.to_parquet(
            path,
            engine="pyarrow",
            compression="zstd",
            compression_level=1,
            index=False,
            schema=schema,
            row_group_size=ROW_GROUP_EVENTS,
        )
        self.files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()


def run(base_url: str, api_key: str, week_start: date, page_size: int, out: Path) -> dict[str, Any]:
    """The whole week; what came of it."""
    out.mkdir(parents=True)
    pipeline = Pipeline(week_start, out)
    start, cpu = time.perf_counter(), time.process_time()
    with requests.Session() as session, pa.output_stream(str(out / "pages.zst"), compression="zstd") as pages:
        session.headers["Authorization"] = f"Bearer {api_key}"
        days = {"start_date": week_start.isoformat(), "end_date": (week_start + timedelta(days=6)).isoformat()}
        page = 1
        while True:
            query = {**days, "page": str(page), "page_size": str(page_size)}
            response = session.get(f"{base_url}/events", params=query, timeout=TIMEOUT_SEC)
            response.raise_for_status()
            pages.write(response.content)
            records = response.json(parse_float=Decimal)
            pipeline.add(page, records)
            if len(records) < page_size:
                break
            page += 1
    pipeline.finish()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_sec": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "valid": pipeline.valid,
        "price": str(pipeline.price),
        "reject_counts": dict(sorted(pipeline.reject_counts.items())),
        "files": len(pipeline.files),
        "packages": {name: version(name) for name in ("requests", "pydantic", "pandas")},
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.baseline", description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--week-start", type=date.fromisoformat, required=True)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    json.dump(run(given.base_url, given.api_key, given.week_start, given.page_size, given.out), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
