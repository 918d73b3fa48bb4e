"""The counts of a sync and whether they are good enough. Pure."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from services.sf_sync.errors import OutcomesIncompleteError, TooManyRejectedError


class TopCode(msgspec.Struct, frozen=True):
    """One reason, how often, and a few external ids that it hit."""

    code: str
    rows: int
    sample_ids: list[str]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Every row of the week's signals in exactly one of the five."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    """Rejected by Salesforce, or never processed by it, after all retries."""
    invalid: int = 0
    """Never sent: we refuse them."""

    @property
    def total(self) -> int:
        """Rows of the week."""
        return self.created + self.updated + self.unchanged + self.failed + self.invalid

    @property
    def accepted(self) -> int:
        """Rows that Salesforce took in this run."""
        return self.created + self.updated

    @property
    def error_rate_pct(self) -> Decimal:
        """Share of the week's rows that Salesforce does not hold as they should be, in percent."""
        return Decimal(100 * (self.failed + self.invalid)) / self.total if self.total else Decimal(0)


def require_complete(counts: Counts, rows: int) -> None:
    """Raise OutcomesIncompleteError unless the counts add up to `rows`, the rows of the week's signals."""
    if counts.total != rows:
        raise OutcomesIncompleteError(f"{rows} rows of signals have {counts.total} outcomes: {counts}.")


def judge(counts: Counts, top: Sequence[TopCode], max_error_rate_pct: Decimal) -> str | None:
    """None if every row is in Salesforce, a warning if the failed share is tolerable.

    Raises TooManyRejectedError, with the top codes and sample ids, if it is above `max_error_rate_pct`.
    """
    if not counts.failed and not counts.invalid:
        return None
    reasons = "; ".join(f"{each.code}: {each.rows} (e.g. {', '.join(each.sample_ids)})" for each in top)
    text = (
        f"{counts.failed} of {counts.total} rows rejected and {counts.invalid} invalid "
        f"({counts.error_rate_pct:.2f} %, allowed {max_error_rate_pct} %): {reasons}."
    )
    if counts.error_rate_pct > max_error_rate_pct:
        raise TooManyRejectedError(text)
    return text
