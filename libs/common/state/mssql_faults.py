"""What the error numbers and SQLSTATEs of SQL Server mean for us.

Numbers: https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors and, for
Azure SQL, https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues.
"""

from __future__ import annotations

import re

from libs.common.state.errors import (
    DuplicateKeyError,
    StateBusyError,
    StateDriverError,
    StateError,
    StateLoginError,
    StatePermissionError,
    StateSchemaError,
    StateTlsError,
    StateUnavailableError,
    StateValueError,
)

# In order of precedence: one error may carry several numbers.
NUMBERS: tuple[tuple[type[StateError], frozenset[int]], ...] = (
    # Deadlock victim; lock time-out; snapshot conflict; out of locks.
    (StateBusyError, frozenset({1205, 1222, 3960, 1203, 1204})),
    (DuplicateKeyError, frozenset({2601, 2627})),
    (
        StateUnavailableError,
        frozenset(
            # The connection broke, or the database is moving, starting, stopping or read-only for a moment. A database
            # that cannot be opened (4060, which comes with 18456) is so during a fail-over too: trying again is cheaper
            # than losing the week.
            {20, 64, 121, 233, 258, 10053, 10054, 10060, 10061, 615, 921, 922, 923, 926, 976, 978, 983, 3906, 6005}
            | {4060, 4221, 17142, 40143, 40166, 40197, 40540, 40613, 40648, 42108, 42109}
            # Throttled, or out of workers, sessions, memory or log space.
            | {701, 802, 8645, 8651, 9002, 10928, 10929, 40501, 40544, 40549, 40550, 40551, 40552, 40553}
            | {49918, 49919, 49920}
        ),
    ),
    # No such login, disabled, locked, password expired, wrong tenant, not let through the firewall.
    (StateLoginError, frozenset({916, 18452, 18456, 18470, 18486, 18487, 18488, 40532, 40615, 47089})),
    (StatePermissionError, frozenset({229, 230, 262, 297, 300, 1088, 2760, 15247})),
    (StateSchemaError, frozenset({207, 208})),
    # NULL where none may be, a foreign rule, too long, out of range.
    (StateValueError, frozenset({515, 547, 2628, 8115, 8152, 220, 241, 242})),
)

SQLSTATES: tuple[tuple[type[StateError], tuple[str, ...]], ...] = (
    # All of class 40 says that the server rolled the transaction back.
    (StateBusyError, ("40",)),
    (StateUnavailableError, ("08", "HYT0", "01002", "HY117", "57P0")),
    (StateLoginError, ("28000", "FA00")),
    (StateSchemaError, ("42S02", "42S22")),
    (StateValueError, ("22",)),
    (StateDriverError, ("IM00",)),
)

# Servers that speak TDS on top of another engine have numbers of their own for what they do not translate (Babelfish:
# 33557097 for all of it), with a SQLSTATE that says nothing. Then only the text is left.
FOREIGN_TEXTS: tuple[tuple[type[StateError], str], ...] = (
    (StateBusyError, r"lock time-?out|deadlock|could not serialize|could not obtain lock|database is locked"),
    (DuplicateKeyError, r"duplicate key|unique constraint|unique index"),
    (StatePermissionError, r"permission (was )?denied"),
    (StateSchemaError, r"(relation|table|column|object) .*does not exist|invalid (object|column) name|no such table"),
    (StateValueError, r"violates (not-null|check) constraint|value too long|out of range|would be truncated"),
    (
        StateUnavailableError,
        r"terminating connection|shutting down|starting up|recovery mode|read-only transaction|connection slots"
        r"|too many (clients|connections)",
    ),
)

_NATIVE = re.compile(r"\((-?\d+)\)\s*\(SQL")
_NO_LIBRARY = re.compile(r"can't open lib|driver manager", re.IGNORECASE)
_UNTRUSTED = re.compile(r"certificate verify failed|certificate chain|ssl routines", re.IGNORECASE)


def mssql_fault(sqlstate: str, text: str) -> type[StateError]:
    """The class of an ODBC error: by the server's numbers in its text, else its SQLSTATE, else what the text says."""
    numbers = frozenset(int(number) for number in _NATIVE.findall(text))
    for kind, known in NUMBERS:
        if numbers & known:
            return kind
    if sqlstate == "01000" and _NO_LIBRARY.search(text):
        return StateDriverError
    if sqlstate.startswith("08") and _UNTRUSTED.search(text):
        return StateTlsError
    for kind, states in SQLSTATES:
        if sqlstate.startswith(states):
            return kind
    # Class 23 is for every constraint, and a unique one is what calls here may run into.
    otherwise = DuplicateKeyError if sqlstate.startswith("23") else StateError
    return next((kind for kind, pattern in FOREIGN_TEXTS if re.search(pattern, text, re.IGNORECASE)), otherwise)
