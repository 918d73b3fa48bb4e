"""The customer-week signals: their SQL, tiers and customers filled in. Pure but for reading the query beside it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Final

SLICE_EVENTS: Final = 250_000
"""Events that are aggregated at once, about: what GATE_MEMORY_LIMIT's default holds, whatever the size of the week."""
PROSPECT: Final = "prospect"
_QUERY: Final = Path(__file__).with_name("signals.sql").read_text()


def signals_query(tiers: tuple[tuple[str, Decimal], ...], customers: str = "true") -> str:
    """The query over the tables `events` and `week`; columns and types are the contract of the signals file.

    `customers` is a condition on `user_id`, see `slices`.
    """
    return _QUERY.replace("{tier}", tier_case(tiers)).replace("{customers}", customers)


def tier_case(tiers: tuple[tuple[str, Decimal], ...]) -> str:
    """A CASE over the week's rounded spend in cents; tiers are tried from the highest threshold down.

    A threshold counts from itself on, but 0 only beyond itself: who spent nothing is a prospect.
    """
    cases = "".join(
        f" WHEN spend_cents {'>=' if least else '>'} {int(least * 100)} THEN {_text(name)}" for name, least in tiers
    )
    return f"CASE{cases} ELSE {_text(PROSPECT)} END"


def slices(customers: Iterable[tuple[str, int]], events: int = SLICE_EVENTS) -> list[str]:
    """Conditions that divide all customers into ranges of about so many events, in the order of their ids.

    `customers` are customers in that order and the events that each stands for. The staged files are sorted by
    customer, so a range reads little more than its own row groups.
    """
    bounds, seen = [], 0
    for customer, stands_for in customers:
        seen += stands_for
        if seen > events:
            bounds.append(_text(customer))
            seen = stands_for
    least = ["true", *(f"user_id >= {bound}" for bound in bounds)]
    below = [*(f"user_id < {bound}" for bound in bounds), "true"]
    return [f"{lower} AND {upper}" for lower, upper in zip(least, below, strict=True)]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
