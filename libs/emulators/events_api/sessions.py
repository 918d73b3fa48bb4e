"""What visitors do: session shapes, and how sessions are laid into one time-ordered stream.

The stream is some lanes wide. Event ``index`` lies in row ``index // lanes``, and each row visits every lane once, in
a rotated order. In a lane one session follows the other, each taking a shape from a fixed cycle. So which session and
which step an index belongs to is plain arithmetic, while neighbours in time belong to different visitors and a
visitor's steps lie about ``STEP_SECONDS`` apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.emulators.events_api import draws

STEP_SECONDS = 60
SHAPES_PER_CYCLE_WEIGHT = 4

# (weight, steps): v = view, c = cart, p = purchase of the n-th product of the session. Whoever puts a product into the
# cart or buys it has viewed it before; two successive steps always differ, so no two events are ever the same.
# Altogether 89 % views, 5 % carts, 5 % purchases; 4.8 events a session.
_SHAPES = (
    (18, "v0"),
    (16, "v0 v1 v0"),
    (15, "v0 v1 v2 v1"),
    (15, "v0 v1 v2 v3 v0 v4"),
    (11, "v0 v1 v2 v3 v4 v5 v6 v2 v7 v8 v6"),
    (8, "v0 v1 c1 p1"),
    (6, "v0 v1 v2 v0 c0 v3 p0"),
    (4, "v0 v1 v2 v3 v1 c1 c2 p1 p2"),
    (4, "v0 v1 v0 p0"),
    (3, "v0 v1 v2 c2 v3 v4"),
)
_EVENT_TYPES = {"v": "view", "c": "cart", "p": "purchase"}


@dataclass(frozen=True)
class Step:
    """One row of the cycle: which session of the cycle, what the visitor does, to which of its products."""

    session: int
    event_type: str
    product_offset: int


@dataclass(frozen=True)
class Cycle:
    """Session shapes one after the other; ``starts[n]`` is the row where session ``n`` begins."""

    steps: tuple[Step, ...]
    starts: tuple[int, ...]


def build_cycle(seed: int) -> Cycle:
    """Build the cycle of a seed: every shape as often as its weight says, in a drawn order."""
    shapes = [steps for weight, steps in _SHAPES for _ in range(weight * SHAPES_PER_CYCLE_WEIGHT)]
    rows: list[Step] = []
    starts: list[int] = []
    for session, shape in enumerate(draws.shuffled(draws.key("cycle", seed), shapes)):
        starts.append(len(rows))
        rows.extend(Step(session, _EVENT_TYPES[step[0]], int(step[1:])) for step in shape.split())
    return Cycle(tuple(rows), tuple(starts))


def lanes_for(events: int, days: int) -> int:
    """Return how many sessions run side by side so that a visitor's steps lie ``STEP_SECONDS`` apart on average."""
    return max(1, round(events * STEP_SECONDS / (days * 86_400)))
