"""Which parts share a file. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from libs.common.lake import paths
from libs.common.manifest import StagedFile


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is laid out: its files as they were read back. Kept beside them; its existence says "done"."""

    index: int
    events: StagedFile
    rejects: StagedFile | None


def group_of(part: int, size: int) -> int:
    """The group of a part, both counted from 0."""
    return part // size


def parts_of(group: int, size: int, parts_total: int | None) -> range:
    """The parts of a group; the last group of a week may be smaller. Without a total the group is taken as full."""
    first = group * size
    return range(first, first + size if parts_total is None else min(first + size, parts_total))


def groups_in(parts_total: int, size: int) -> range:
    """All groups of a week."""
    return range(-(-parts_total // size))


def is_complete(group: int, size: int, parts_total: int | None, arrived: Collection[int]) -> bool:
    """Whether every part of the group has arrived."""
    return all(part in arrived for part in parts_of(group, size, parts_total))


def record_path(run_id: str, group: int) -> str:
    """Where a group's record lies."""
    return f"{paths.run_dir(run_id)}/load/group-{group:05d}.json"


def encode_group(group: Group) -> bytes:
    """JSON, the same bytes for the same content."""
    return _encoder.encode(group)


def decode_group(data: bytes) -> Group:
    """The reverse of `encode_group`."""
    return _decoder.decode(data)


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Group)
