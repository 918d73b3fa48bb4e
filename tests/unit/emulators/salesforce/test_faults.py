from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from libs.emulators.salesforce.faults import (
    CallKind,
    DroppedConnection,
    FaultBoard,
    HttpError,
    SessionExpired,
    SlowJob,
    decode_faults,
)
from libs.emulators.salesforce.limits import Usage
from libs.emulators.salesforce.web.app import CALL_KINDS


def test_every_kind_of_call_that_a_fault_may_name_has_an_address() -> None:
    assert frozenset(get_args(CallKind)) == CALL_KINDS


def test_one_fault_or_a_list_of_them_is_read() -> None:
    assert decode_faults('{"kind": "slow_job", "seconds": 2}') == [SlowJob(seconds=2)]
    assert decode_faults('[{"kind": "http_error", "call": "job_poll", "times": 3}]') == [
        HttpError(call="job_poll", times=3)
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"kind": "flood"}', "flood"),
        ('{"kind": "slow_job"}', "seconds"),
        ('{"kind": "http_error", "call": "job_pol"}', "job_pol"),
        ('{"kind": "slow_job", "seconds": 1, "tmes": 2}', "tmes"),
        ('{"kind": "slow_job", "seconds": 1, "times": 0}', "times"),
    ],
)
def test_a_misspelt_fault_is_refused_instead_of_never_striking(text: str, complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        decode_faults(text)


def test_a_fault_strikes_its_kind_of_call_as_often_as_it_says() -> None:
    board = FaultBoard([HttpError(call="job_poll", times=2)])
    assert board.take(HttpError, "job_create") is None
    assert board.take(HttpError, "job_poll") is not None
    assert board.listed() == [HttpError(call="job_poll", times=1)]
    assert board.take(HttpError, "job_poll") is not None
    assert board.take(HttpError, "job_poll") is None
    assert board.listed() == []


def test_a_fault_without_times_strikes_until_it_is_cleared() -> None:
    board = FaultBoard([HttpError(times=None)])
    assert all(board.take(HttpError, "query") for _ in range(5))
    board.clear()
    assert board.take(HttpError, "query") is None


def test_a_dropped_connection_waits_for_its_moment() -> None:
    board = FaultBoard([DroppedConnection(call="job_state", when="after")])
    assert board.take(DroppedConnection, "job_state", when="before") is None
    assert board.take(DroppedConnection, "job_state", when="after") is not None


def test_sessions_end_after_the_set_number_of_calls_each_time() -> None:
    board = FaultBoard([SessionExpired(after_calls=2, times=2)])
    assert [board.session_ends() is not None for _ in range(8)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]


def test_allowances_run_out() -> None:
    usage = Usage(max_api_calls=1, max_batches=1)
    usage.take_api_call()
    with pytest.raises(Exception, match="REQUEST_LIMIT_EXCEEDED"):
        usage.take_api_call()
    assert [usage.take_batch(), usage.take_batch()] == [True, False]
    assert usage.rendered()["DailyBulkApiBatches"] == {"Max": 1, "Remaining": 0}
    assert usage.header() == "api-usage=1/1"
