"""Text to tokens."""

import re
from enum import Enum
from typing import NamedTuple

KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "ESCAPE", "IS", "NULL", "EXISTS", "TRUE", "FALSE"})


class SqlSyntaxError(ValueError):
    """A filter expression that cannot be used: what is wrong, and at which character (from 1)."""

    def __init__(self, problem: str, expression: str, offset: int) -> None:
        super().__init__(f"{problem} at character {offset + 1} of: {expression}")
        self.problem = problem
        self.expression = expression
        self.position = offset + 1


class Kind(Enum):
    """What a token is; the value names it in error messages."""

    NAME = "a name"
    KEYWORD = "a keyword"
    STRING = "a string"
    NUMBER = "a number"
    PARAMETER = "a parameter"
    SYMBOL = "a symbol"
    END = "the end of the expression"


class Token(NamedTuple):
    """``text`` is without quotes; keywords are in upper case."""

    kind: Kind
    text: str
    offset: int
    quoted: bool = False


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>'(?:[^']|'')*')
      | (?P<bracketed>\[(?:[^\]]|\]\])+\])
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<parameter>@\w+)
      | (?P<word>[^\W\d_]\w*)
      | (?P<symbol><>|!=|<=|>=|[=<>()+\-*/%,.])
      | (?P<end>$)
    )""",
    re.VERBOSE,
)


def tokenize(expression: str) -> list[Token]:
    """Return the tokens of an expression, the last one END. Raises SqlSyntaxError."""
    tokens: list[Token] = []
    position = 0
    while not tokens or tokens[-1].kind is not Kind.END:
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            offset = position + len(expression[position:]) - len(expression[position:].lstrip())
            problem = {"'": "unterminated string", '"': "unterminated name", "[": "unterminated name"}.get(
                expression[offset], f"unexpected {expression[offset]!r}"
            )
            raise SqlSyntaxError(problem, expression, offset)
        tokens.append(_token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return tokens


def _token(group: str, text: str, offset: int) -> Token:
    match group:
        case "string":
            return Token(Kind.STRING, text[1:-1].replace("''", "'"), offset)
        case "bracketed":
            return Token(Kind.NAME, text[1:-1].replace("]]", "]"), offset, quoted=True)
        case "quoted":
            return Token(Kind.NAME, text[1:-1].replace('""', '"'), offset, quoted=True)
        case "word" if text.upper() in KEYWORDS:
            return Token(Kind.KEYWORD, text.upper(), offset)
        case "word":
            return Token(Kind.NAME, text, offset)
        case _:
            return Token(Kind[group.upper()], text, offset)
