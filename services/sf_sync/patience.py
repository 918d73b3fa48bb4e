"""How a job in Salesforce is waited for."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Waits between looks, and how long in all."""

    first_sec: float
    max_sec: float
    total_sec: float
    draw: Callable[[], float] = field(default=random.random)

    def wait(self, look: int) -> float:
        """Seconds before look number `look` (from 0): grows by half, up to a fifth off so that looks do not align."""
        grown = min(self.first_sec * 1.5 ** min(look, 40), self.max_sec)
        return grown * (1 - 0.2 * self.draw())
