"""A part through the validator's handler: files, rows, messages, whatever is repeated or interrupted."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from libs.common import failpoints
from libs.common.failpoints import FailpointError
from libs.common.lake import paths
from libs.common.outcome import Done
from libs.common.processes import Processes
from libs.common.scratch import ScratchFullError
from libs.common.state import Stage, StageStatus
from services.validator.adapters import PartValidator
from tests.integration.kits import REQUESTED_AT, RUN_ID, WEEK
from tests.integration.validator.conftest import Validator

Record = Callable[..., bytes]


def page(*records: bytes) -> bytes:
    return b"[" + b",".join(records) + b"]"


async def test_a_part_is_divided_into_valid_records_and_rejects(validator: Validator, record: Record) -> None:
    message = await validator.extracted(0, page(record(user_id=7), record(price="x")), page(record(price=-1)))
    assert await validator.handle(message) == Done()

    (announced,) = validator.announced()
    assert (announced.valid.rows, announced.rejects.rows) == (1, 2)
    assert announced.reject_counts == {"bad_price": 1, "negative_price": 1}
    (event,) = validator.table(paths.validated_part(RUN_ID, 0))
    assert (event["user_id"], str(event["price"])) == ("7", "1.5000")
    assert (event["batch_week_start"], event["ingested_at"]) == (WEEK.start, REQUESTED_AT)
    rejects = validator.table(paths.rejects_part(RUN_ID, 0))
    assert [(row["page"], row["position"], row["reject_code"], row["field"]) for row in rejects] == [
        (1, 1, "bad_price", "price"),
        (2, 0, "negative_price", "price"),
    ]
    assert rejects[0]["raw"] == record(price="x").decode()


async def test_a_page_that_is_no_json_costs_no_other_page(validator: Validator, record: Record) -> None:
    await validator.handle(await validator.extracted(0, page(record()), b"<html>", page(record())))
    (announced,) = validator.announced()
    assert (announced.valid.rows, announced.reject_counts) == (2, {"bad_page": 1})


async def test_the_part_without_pages_of_an_empty_week_gives_two_files_without_rows(validator: Validator) -> None:
    await validator.parts_are(1)
    await validator.handle(await validator.extracted(0))
    assert validator.table(paths.validated_part(RUN_ID, 0)) == []
    assert validator.table(paths.rejects_part(RUN_ID, 0)) == []
    stage = await validator.kit.state.get_stage(RUN_ID, Stage.VALIDATE)
    assert stage is not None
    assert (stage.status, stage.row_count, stage.rejected_count) == (StageStatus.SUCCESS, 0, 0)


async def test_the_stage_ends_with_its_last_part_in_whatever_order_they_come(
    validator: Validator, record: Record
) -> None:
    messages = [await validator.extracted(part, page(record(extra=1), record(price="x"))) for part in range(3)]
    await validator.handle(messages[2])
    await validator.parts_are(3)
    await validator.handle(messages[0])
    running = await validator.kit.state.get_stage(RUN_ID, Stage.VALIDATE)
    await validator.handle(messages[1])
    ended = await validator.kit.state.get_stage(RUN_ID, Stage.VALIDATE)

    assert running is not None
    assert ended is not None
    assert (running.status, ended.status) == (StageStatus.RUNNING, StageStatus.SUCCESS)
    assert (ended.row_count, ended.rejected_count) == (3, 3)
    assert ended.details == {"reject_counts": {"bad_price": 3}, "unknown_fields": {"extra": {"number": 3}}}


async def test_a_redelivery_announces_nothing_twice_and_changes_no_file(validator: Validator, record: Record) -> None:
    message = await validator.extracted(0, page(record(), record(user_id=None)))
    await validator.handle(message)
    before = validator.files()
    await validator.handle(message)
    assert len(validator.announced()) == 1
    assert validator.files() == before


async def test_what_was_committed_and_not_published_is_published_by_the_redelivery(
    validator: Validator, record: Record
) -> None:
    await validator.parts_are(1)
    message = await validator.extracted(0, page(record()))
    validator.publisher.failures = 1
    with pytest.raises(ConnectionError):
        await validator.handle(message)
    assert validator.announced() == []

    await validator.handle(message)
    assert len(validator.announced()) == 1


async def test_the_stage_is_over_before_its_last_part_is_announced(validator: Validator, record: Record) -> None:
    """Once it is, the run may end before this message is settled, and a redelivery would be dropped."""
    await validator.parts_are(1)
    validator.publisher.failures = 1
    with pytest.raises(ConnectionError):
        await validator.handle(await validator.extracted(0, page(record())))
    stage = await validator.kit.state.get_stage(RUN_ID, Stage.VALIDATE)
    assert stage is not None
    assert stage.status is StageStatus.SUCCESS


async def test_a_crash_after_the_files_repeats_them_byte_for_byte(
    validator: Validator, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await validator.extracted(0, page(record(), record(event_type=" ")))
    failpoints.configure("after_work@stage=VALIDATE:raise")
    with pytest.raises(FailpointError):
        await validator.handle(message)
    failpoints.configure(None)
    before = validator.files()
    assert await validator.kit.state.get_part(RUN_ID, Stage.VALIDATE, 0) is None

    await validator.handle(message)
    assert validator.files() == before
    assert len(validator.announced()) == 1


async def test_two_replicas_with_the_same_part_record_it_once(validator: Validator, record: Record) -> None:
    await validator.parts_are(1)
    message = await validator.extracted(0, page(record()))
    await asyncio.gather(validator.handle(message), validator.handle(message))
    assert {announced.part for announced in validator.announced()} == {0}
    totals = await validator.kit.state.part_totals(RUN_ID, Stage.VALIDATE)
    assert (totals.parts, totals.row_count) == (1, 1)


async def test_the_scratch_folder_is_empty_in_every_end(validator: Validator, record: Record) -> None:
    message = await validator.extracted(0, page(record()))
    (validator.kit.scratch / "raw.parquet").unlink()
    failpoints.configure("after_work:raise")
    with pytest.raises(FailpointError):
        await validator.handle(message)
    failpoints.configure(None)
    assert list(validator.kit.scratch.iterdir()) == []
    await validator.handle(message)
    assert list(validator.kit.scratch.iterdir()) == []


async def test_a_full_disk_is_told_as_such_and_is_transient(validator: Validator, record: Record) -> None:
    async def on_a_full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    deps = replace(validator.deps, validate=on_a_full_disk)  # type: ignore[arg-type] # it never returns
    with pytest.raises(ScratchFullError, match="No space left") as caught:
        await replace(validator, deps=deps).handle(await validator.extracted(0, page(record())))
    assert caught.value.transient


async def test_a_part_is_validated_in_a_process_of_its_own(validator: Validator, record: Record) -> None:
    async with Processes(1) as processes:
        deps = replace(validator.deps, validate=PartValidator(processes))
        await replace(validator, deps=deps).handle(await validator.extracted(0, page(record(), b"null")))
    (announced,) = validator.announced()
    assert (announced.valid.rows, announced.reject_counts) == (1, {"not_an_object": 1})
