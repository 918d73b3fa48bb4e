"""The published manifest: what a published week consists of. Written last; without it a week is not there."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from libs.common.errors import TerminalError
from libs.common.manifest import StagedFile
from libs.common.week import Week


class PublishedManifestError(TerminalError):
    """The manifest of a published week cannot be read."""

    code = "published_manifest_unreadable"
    next_step = "Run the week again with --force; it supersedes what is there."


class PublishedManifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="published-manifest.v1"):
    """Every file of a published week, with paths relative to the lake's root and checksums of the bytes."""

    run_id: str
    pipeline_name: str
    week_start: date
    week_end: date
    run_status: str
    rows_valid: int
    rows_rejected: int
    reject_rate_pct: Decimal
    events: tuple[StagedFile, ...]
    rejects: tuple[StagedFile, ...]
    signals: tuple[StagedFile, ...]

    @property
    def week(self) -> Week:
        """The span that was published."""
        return Week(self.week_start, self.week_end)

    @property
    def files(self) -> tuple[StagedFile, ...]:
        """All of them."""
        return self.events + self.rejects + self.signals


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(PublishedManifest)


def encode_published(manifest: PublishedManifest) -> bytes:
    """JSON for people as well, the same bytes for the same content."""
    return msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"


def decode_published(data: bytes) -> PublishedManifest:
    """The manifest in `data`. Raises PublishedManifestError, which names the field at fault."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PublishedManifestError(f"The published manifest cannot be read: {error}.") from error
