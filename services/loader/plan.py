"""Which parts are merged into one file. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive parts that become one file of events and one of rejects, the `index`th of each."""

    index: int
    first: int
    last: int
    closed_by: int
    """The highest part that had to be known to see that nothing more belongs here."""


def plan_groups(parts: Sequence[tuple[int, int]], parts_total: int | None, *, most_records: int) -> list[Group]:
    """The groups that nothing can be added to any more.

    `parts` are (part, records) of the parts known so far, by part. A group takes parts in their order for as long as
    their records stay within `most_records`; a part that is larger is a group of its own. A full group waits for no
    further part, which leaves less to merge when the last one is there. The answer for a group depends on the parts up
    to its `closed_by` only: it is the same whoever asks, in whatever order the parts came.
    """
    groups: list[Group] = []
    first, records = 0, 0
    for expected, (part, more) in enumerate(parts):
        if part != expected:
            return groups  # one before it is still missing
        if part > first and records + more > most_records:
            groups.append(Group(len(groups), first, part - 1, part))
            first, records = part, 0
        records += more
        if records >= most_records:
            groups.append(Group(len(groups), first, part, part))
            first, records = part + 1, 0
    if len(parts) == parts_total and first < parts_total:
        groups.append(Group(len(groups), first, parts_total - 1, parts_total - 1))
    return groups
