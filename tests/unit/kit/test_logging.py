from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from libs.common.logging import configure_logging, redact
from libs.common.settings import CommonSettings


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # no .env here
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def settings(**values: Any) -> CommonSettings:
    return CommonSettings(**values)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_json_on_stderr_with_time_level_service_and_the_ids_in_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = configure_logging(settings(), service="gate")
    with bound_contextvars(run_id="r-1"):
        log.info("message", rows=3)
    (line,) = lines(capsys)
    assert line.items() >= {"event": "message", "level": "info", "service": "gate", "run_id": "r-1", "rows": 3}.items()
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_logging(settings(log_level="WARNING"))
    log.info("chatter")
    log.warning("heed")
    assert [line["event"] for line in lines(capsys)] == ["heed"]


def test_libraries_log_in_the_same_shape_and_the_noisy_ones_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings())
    logging.getLogger("somelib").warning("disk at %d %%", 91)
    logging.getLogger("azure.servicebus").error("told to us as an exception anyway")
    (line,) = lines(capsys)
    assert line.items() >= {"event": "disk at 91 %", "level": "warning", "logger": "somelib"}.items()


def test_an_exception_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_logging(settings())
    log.error("broken", exc_info=KeyError("x"))
    (line,) = lines(capsys)
    assert line["exception"][0]["exc_type"] == "KeyError"


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings(log_format="console")).info("hello", rows=3)
    assert "hello" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=hunter2=;EntityPath=e",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=core.windows.net",
        "mssql+pyodbc://sa:hunter2@db:1433/state",
        "Authorization: Bearer hunter2.abc.def",
        "https://a.blob.core.windows.net/c/f?sv=1&sig=hunter2&se=2",
        "client_secret=hunter2&grant_type=client_credentials",
    ],
)
def test_a_secret_inside_a_text_is_masked_wherever_it_stands(text: str) -> None:
    event = redact(None, "info", {"event": text, "nested": {"deep": [text]}})
    assert "hunter2" not in repr(event)


@pytest.mark.parametrize("name", ["api_key", "client_secret", "Authorization", "sf_password", "connection_string"])
def test_a_field_named_like_a_secret_is_masked(name: str) -> None:
    assert redact(None, "info", {name: "hunter2"}) == {name: "***"}


def test_what_is_no_secret_stays_as_it_is() -> None:
    event = {"event": "message", "topic": "week.requested", "url": "https://api/events?page=1", "n": 1, "ok": None}
    assert redact(None, "info", dict(event)) == event


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_where_and_never_what_the_variables_held(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    log = configure_logging(settings(log_format=log_format))

    def log_in(form: dict[str, str]) -> None:
        raise ConnectionError(f"{len(form)} fields were not accepted")

    try:
        log_in({"client": "".join(["hu", "sh"])})
    except ConnectionError:
        log.exception("login_failed")
    told = capsys.readouterr().err
    assert "log_in" in told
    assert "hush" not in told
