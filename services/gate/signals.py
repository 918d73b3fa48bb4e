"""The customer-week signals: their SQL, with the tiers filled in. Pure but for reading the query beside this file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

_QUERY = Path(__file__).with_name("signals.sql").read_text()
PROSPECT = "prospect"


def signals_query(tiers: tuple[tuple[str, Decimal], ...]) -> str:
    """The query over the tables `events` and `week`; columns and types are the contract of the signals file."""
    return _QUERY.replace("{tier}", tier_case(tiers))


def tier_case(tiers: tuple[tuple[str, Decimal], ...]) -> str:
    """A CASE over the week's rounded spend in cents; tiers are tried from the highest threshold down.

    A threshold counts from itself on, but 0 only beyond itself: who spent nothing is a prospect.
    """
    cases = "".join(
        f" WHEN spend_cents {'>=' if least else '>'} {int(least * 100)} THEN '{name.replace(chr(39), chr(39) * 2)}'"
        for name, least in tiers
    )
    return f"CASE{cases} ELSE '{PROSPECT}' END"
