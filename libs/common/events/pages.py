"""Where a page keeps its records, and the text of each of them, byte for byte.

A record is cut out without being understood, so that a bad one costs neither its page nor a byte of itself.
"""

import json
import re
from collections.abc import Callable, Iterable
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, there since 2.6, not in typeshed
from typing import Any, Final

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


def split_page(body: bytes, positions: Iterable[int] | None = None) -> list[bytes]:
    """The JSON text of each record of a page, exactly as it came, in order; or of those at `positions` alone.

    `body` is a JSON list, or an object with a list under the first of RECORD_KEYS that it has. Text that strict JSON
    forbids but that leaves no doubt where a record ends (half of a surrogate pair, NaN, a control character in a
    string, bytes that are not UTF-8) is left for whoever judges the record. Raises PageError, which names the keys
    found where none is known.
    """
    body = body.removeprefix(BOM)
    try:
        raws = _split_strict(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        texts = _split_tolerant(body)
        chosen = texts if positions is None else [texts[position] for position in positions]
        return [text.encode("utf-8", "surrogateescape") for text in chosen]
    return [bytes(raw) for raw in (raws if positions is None else [raws[position] for position in positions])]


def _split_strict(body: bytes) -> list[msgspec.Raw]:
    if body.lstrip()[:1] != b"{":
        return _list.decode(body)
    fields = _object.decode(body)
    key = next((key for key in RECORD_KEYS if key in fields), None)
    if key is None:
        raise _no_known_key(fields)
    return _list.decode(fields[key])


def _no_known_key(fields: Any) -> PageError:
    found = ", ".join(sorted(fields)[:_KEYS_SHOWN]) or "none"
    return PageError(f"The page has none of the keys {', '.join(RECORD_KEYS)}; found: {found}.")


# What every decoder uses inside: (text, index) → (value, index after it). Absent from typeshed.
_scan: Final[Callable[[str, int], tuple[Any, int]]] = vars(json.JSONDecoder(strict=False))["scan_once"]
_skip_blanks: Final = re.compile(r"[ \t\n\r]*").match


def _split_tolerant(body: bytes) -> list[str]:
    text = body.decode("utf-8", "surrogateescape")
    try:
        records, end = _page(text, _next(text, 0))
    except (StopIteration, IndexError) as error:
        raise PageError("The page is no valid JSON: it breaks off, or a value in it is none.") from error
    except RecursionError as error:
        raise PageError("The page is nested too deeply to be read.") from error
    except ValueError as error:
        raise PageError(f"The page is no valid JSON: {error}.") from error
    if _next(text, end) != len(text):
        raise PageError(f"The page is no valid JSON: it goes on after its end, at character {end}.")
    return records


def _page(text: str, at: int) -> tuple[list[str], int]:
    if text[at] == "[":
        return _elements(text, at)
    if text[at] != "{":
        raise PageError("The page is neither a list nor an object.")
    fields: dict[str, int] = {}
    at = _next(text, at + 1)
    while text[at] != "}":
        key, at = scanstring(text, _expect(text, at, '"') + 1, False)
        fields[key] = _next(text, _expect(text, _next(text, at), ":") + 1)
        at = _after_value(text, fields[key], "}")
    chosen = next((key for key in RECORD_KEYS if key in fields), None)
    if chosen is None:
        raise _no_known_key(fields)
    return _elements(text, _expect(text, fields[chosen], "["))[0], at + 1


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """The texts of a list's elements, and where the list ends. `at` is its bracket."""
    found = []
    at = _next(text, at + 1)
    while text[at] != "]":
        end = _scan(text, at)[1]
        found.append(text[at:end])
        at = _after_value(text, at, "]", end)
    return found, at + 1


def _after_value(text: str, at: int, closing: str, end: int | None = None) -> int:
    """Where the next key or element begins, or the closing bracket is, after the value at `at`."""
    at = _next(text, _scan(text, at)[1] if end is None else end)
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
