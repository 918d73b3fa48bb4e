"""Cuts SOQL text into tokens."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from libs.emulators.salesforce.soql.syntax import SoqlError

TokenKind = Literal["name", "string", "number", "date", "datetime", "symbol", "end"]

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
  | (?P<symbol><=|>=|!=|<>|[=<>(),])
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Token(NamedTuple):
    """One token; ``text`` of a string still has its quotes and escapes."""

    kind: TokenKind
    text: str
    position: int


def tokens(text: str) -> list[Token]:
    """Cut the text; the last token is of kind ``end``. Raises SoqlError MALFORMED_QUERY."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SoqlError("MALFORMED_QUERY", f"unexpected character {text[position]!r} at position {position}")
        kind = match.lastgroup
        if kind != "blank":
            found.append(Token(kind, match.group(), position))  # type: ignore[arg-type] # the pattern's group names
        position = match.end()
    found.append(Token("end", "<EOF>", position))
    return found


def unquoted(text: str, *, like: bool = False) -> str:
    r"""Resolve the escapes of a string token; ``like`` keeps ``\%`` and ``\_`` for the pattern."""

    def resolve(match: re.Match[str]) -> str:
        char = match.group(1)
        if char in "%_":
            return match.group() if like else char
        if char == "\\" and like:
            return r"\\"
        if char not in _ESCAPES:
            raise SoqlError("MALFORMED_QUERY", f"Invalid string literal {text}. Illegal character sequence '\\{char}'")
        return _ESCAPES[char]

    return _ESCAPE.sub(resolve, text[1:-1])
