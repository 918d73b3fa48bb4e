"""Where a page keeps its records, and the text of each of them, byte for byte.

A record is cut out without being understood, so that a bad one costs neither its page nor a byte of itself.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, there since 2.6, not in typeshed
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from libs.common.errors import TerminalError

RECORD_KEYS: Final = ("data", "events", "results", "items")
"""Where an object keeps its records; the first one present counts. A list is its own records."""

_KEYS_SHOWN: Final = 10
BOM: Final = b"\xef\xbb\xbf"

_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class PageError(TerminalError):
    """A page's body is no JSON, or holds no list of records where records are kept."""

    code = "bad_page"
    next_step = "Look at the body in the run's raw files; correct the API, or API_EVENTS_PATH, and run the week again."


class BrokenPageError(PageError):
    """A page's body is no JSON: it breaks off, or something else came in its place. The next try may bring it whole."""


class PageSurvey(NamedTuple):
    """How many records a page holds, and the JSON text of each field beside them (a list has none)."""

    records: int
    beside: dict[str, bytes]


def survey_page(body: bytes) -> PageSurvey:
    """Count the records of a page that `split_page` can split. Raises PageError, BrokenPageError as that does."""
    body = body.removeprefix(BOM)
    try:
        return _survey_strict(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        texts, beside = _split_tolerant(body)
        return PageSurvey(len(texts), {name: _encoded(text) for name, text in beside.items()})


def split_page(body: bytes, positions: Iterable[int] | None = None) -> list[bytes]:
    """The JSON text of each record of a page, exactly as it came, in order; or of those at `positions` alone.

    `body` is a JSON list, or an object with a list under the first of RECORD_KEYS that it has. Text that strict JSON
    forbids but that leaves no doubt where a record ends (half of a surrogate pair, NaN, a control character in a
    string, bytes that are not UTF-8) is left for whoever judges the record. Raises PageError, which names the keys
    found where none is known, and as a BrokenPageError what is no JSON at all.
    """
    body = body.removeprefix(BOM)
    try:
        raws = _split_strict(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        texts, _ = _split_tolerant(body)
        return list(map(_encoded, texts if positions is None else [texts[position] for position in positions]))
    return [bytes(raw) for raw in (raws if positions is None else [raws[position] for position in positions])]


def _survey_strict(body: bytes) -> PageSurvey:
    if body.lstrip()[:1] != b"{":
        return PageSurvey(len(_list.decode(body)), {})
    fields = _object.decode(body)
    records = fields.pop(_records_key(fields))
    return PageSurvey(len(_list.decode(records)), {name: bytes(raw) for name, raw in fields.items()})


def _split_strict(body: bytes) -> list[msgspec.Raw]:
    if body.lstrip()[:1] != b"{":
        return _list.decode(body)
    fields = _object.decode(body)
    return _list.decode(fields[_records_key(fields)])


def _records_key(fields: Collection[str]) -> str:
    key = next((key for key in RECORD_KEYS if key in fields), None)
    if key is None:
        found = ", ".join(sorted(fields)[:_KEYS_SHOWN]) or "none"
        raise PageError(f"The page has none of the keys {', '.join(RECORD_KEYS)}; found: {found}.")
    return key


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# What every decoder uses inside: (text, index) → (value, index after it). Absent from typeshed.
_scan: Final[Callable[[str, int], tuple[Any, int]]] = vars(json.JSONDecoder(strict=False))["scan_once"]
_skip_blanks: Final = re.compile(r"[ \t\n\r]*").match


def _split_tolerant(body: bytes) -> tuple[list[str], dict[str, str]]:
    """The records' texts, and those of an object's other fields."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        records, beside, end = _page(text, _next(text, 0))
    except (StopIteration, IndexError) as error:
        raise BrokenPageError("The page is no valid JSON: it breaks off, or a value in it is none.") from error
    except RecursionError as error:
        raise PageError("The page is nested too deeply to be read.") from error
    except ValueError as error:
        raise BrokenPageError(f"The page is no valid JSON: {error}.") from error
    if _next(text, end) != len(text):
        raise BrokenPageError(f"The page is no valid JSON: it goes on after its end, at character {end}.")
    return records, beside


def _page(text: str, at: int) -> tuple[list[str], dict[str, str], int]:
    if text[at] == "[":
        records, end = _elements(text, at)
        return records, {}, end
    if text[at] != "{":
        _refuse_value(text, at)
    fields: dict[str, tuple[int, int]] = {}
    at = _next(text, at + 1)
    while text[at] != "}":
        key, at = scanstring(text, _expect(text, at, '"') + 1, False)
        begin = _next(text, _expect(text, _next(text, at), ":") + 1)
        end = _scan(text, begin)[1]
        fields[key] = begin, end
        at = _after_value(text, end, "}")
    chosen = _records_key(fields)
    begin, _ = fields.pop(chosen)
    if text[begin] != "[":
        raise PageError(f"The page has {chosen!r}, but no list in it.")
    return _elements(text, begin)[0], {name: text[slice(*span)] for name, span in fields.items()}, at + 1


def _refuse_value(text: str, at: int) -> NoReturn:
    """Say that the JSON value at `at` is no page; raises as `_scan` does where there is no such value."""
    _scan(text, at)
    raise PageError("The page is neither a list nor an object.")


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """The texts of a list's elements, and where the list ends. `at` is its bracket."""
    found = []
    at = _next(text, at + 1)
    while text[at] != "]":
        end = _scan(text, at)[1]
        found.append(text[at:end])
        at = _after_value(text, end, "]")
    return found, at + 1


def _after_value(text: str, end: int, closing: str) -> int:
    """Where the next key or element begins, or the closing bracket is, after a value that ends before `end`."""
    at = _next(text, end)
    if text[at] == closing:
        return at
    at = _next(text, _expect(text, at, ",") + 1)
    if text[at] == closing:
        raise ValueError(f"a value is missing at character {at}")
    return at


def _next(text: str, at: int) -> int:
    blanks = _skip_blanks(text, at)
    assert blanks is not None, "the pattern matches nothing as well"
    return blanks.end()


def _expect(text: str, at: int, char: str) -> int:
    if text[at] != char:
        raise ValueError(f"{char!r} expected at character {at}")
    return at
