"""The load manifest: what the loader staged, for the gate to audit and publish. JSON in the run's staging folder."""

from datetime import date, datetime
from typing import Final

import msgspec

from libs.common.errors import TerminalError
from libs.common.week import Week


class ManifestError(TerminalError):
    """The load manifest cannot be read."""

    code = "manifest_unreadable"
    next_step = "Replay `events.validated` of the run's last part to have it written again, or run the week again."


class StagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file under the run's staging folder, as it was read back after the write."""

    path: str
    """Relative to the lake's root."""
    sha256: str
    """Lower-case hex of the bytes."""
    size_bytes: int
    rows: int
    min_event_time: datetime | None = None
    """Aware UTC, both ends inclusive; None in a file without rows and for rejects, which have no event time."""
    max_event_time: datetime | None = None


class LoadManifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="load-manifest.v1"):
    """Every file that the run staged, and the totals that they add up to.

    `events` is never empty: a week without valid records has one file without rows. `rejects` is empty if none were.
    """

    run_id: str
    pipeline_name: str
    week_start: date
    week_end: date
    parts_total: int
    rows_valid: int
    rows_rejected: int
    reject_counts: dict[str, int]
    """Reject code → records."""
    unknown_fields: dict[str, dict[str, int]]
    """Field outside the contract → JSON type → records that carried it."""
    events: tuple[StagedFile, ...]
    rejects: tuple[StagedFile, ...]

    @property
    def week(self) -> Week:
        """The span that the run is about."""
        return Week(self.week_start, self.week_end)


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(LoadManifest)


def encode_manifest(manifest: LoadManifest) -> bytes:
    """JSON for people as well, the same bytes for the same content."""
    return msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> LoadManifest:
    """The manifest in `data`. Raises ManifestError, which names the field at fault."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"The load manifest cannot be read: {error}.") from error
