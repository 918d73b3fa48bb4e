from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

import libs.emulators.events_api
from libs.emulators.events_api import options
from libs.emulators.events_api.__main__ import main
from libs.emulators.events_api.faults import FaultSettings
from libs.emulators.events_api.generator import GeneratorOptions
from libs.emulators.events_api.pages import PageShape
from libs.emulators.events_api.server import ServerOptions

README = Path(libs.emulators.events_api.__file__).with_name("README.md")


def test_a_port_is_all_that_must_be_given() -> None:
    given = options.parse(["--port", "0"])
    assert (given.host, given.port, given.file) == ("127.0.0.1", 0, None)
    assert given.generator == GeneratorOptions()
    assert given.server == ServerOptions()


def test_the_options_reach_what_they_are_for() -> None:
    command = (
        "--port 1 --events 7 --seed 2 --bad-pct 1.5 --drift-pct 0.1 --time-format mixed --id-format string --gzip "
        "--file x.csv --api-key k --body data --total field --pagination cursor --max-page-size 10 --latency-ms 5 "
        "--jitter-ms 6 --rate-limit-per-sec 2.5 --fault-429-pct 1 --truncate-pct 2 --invalid-json-pct 3 "
        "--faults-seed 4 --retry-after date --total-offset -3"
    )
    given = options.parse(command.split())
    assert given.generator == GeneratorOptions(7, 2, Fraction(3, 2), Fraction(1, 10), "mixed", "string")
    assert given.file == Path("x.csv")
    assert given.server == ServerOptions(
        shape=PageShape("data", "field", "cursor"),
        api_key="k",
        max_page_size=10,
        latency_ms=5,
        jitter_ms=6,
        rate_limit_per_sec=2.5,
        gzip=True,
        faults=FaultSettings(
            seed=4, pct={"429": 1, "truncate": 2, "invalid_json": 3}, retry_after="date", total_offset=-3
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--port"),
        ("--port 0 --bad-pct 101", "between 0 and 100"),
        ("--port 0 --bad-pct x", "is not a number"),
        ("--port 0 --drift-pct nan", "is not a number"),
        ("--port 0 --events -5", "must not be negative"),
        ("--port 0 --max-page-size 0", "--max-page-size must be at least 1"),
        ("--port 0 --latency-ms -1", "is not a whole number"),
        ("--port 0 --rate-limit-per-sec 0", "--rate-limit-per-sec must be above 0"),
        ("--port 0 --fault-500-pct 60 --fault-503-pct 60", "exceed 100 percent"),
        ("--port 0 --total field", "a list body has no place for a total"),
        ("--port 0 --pagination cursor", "a list body has no place for next_cursor"),
    ],
)
def test_a_wrong_command_line_ends_with_status_2_and_the_reason(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        options.parse(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_served_ends_with_status_1(tmp_path: Path) -> None:
    assert main(["--port", "0", "--file", str(tmp_path / "none.csv")]) == 1


def test_the_key_is_not_shown_with_the_options() -> None:
    assert "s3cret" not in repr(options.parse(["--port", "0", "--api-key", "s3cret"]))


@pytest.mark.parametrize("command", [["--help"], ["truth", "--help"]])
def test_the_readme_names_every_option(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(command)
    offered = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out)) - {"--help"}
    assert offered
    assert offered <= set(re.findall(r"--[a-z][a-z0-9-]*", README.read_text(encoding="utf-8")))
