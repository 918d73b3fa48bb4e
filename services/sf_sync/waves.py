"""Lays a wave's rows out for sending: which way they travel, and in what portions."""

import asyncio
from pathlib import Path

from libs.common.lake import Lake
from services.sf_sync import composite
from services.sf_sync.csvfile import write_parts
from services.sf_sync.files import read_batches, scratch_folder
from services.sf_sync.ledger import Wave, Way
from services.sf_sync.mapping import ResolvedMapping


def portions(rows: int, size: int) -> list[int]:
    """`rows` cut into portions of `size`, the last one smaller."""
    return [min(size, rows - start) for start in range(0, rows, size)]


async def lay_out(
    lake: Lake,
    scratch: Path,
    local: Path,
    *,
    file: str,
    rows: int,
    mapping: ResolvedMapping,
    rows_per_send: int,
    collections_below: int,
    first_part: int,
) -> Wave:
    """The wave of the rows in `local`, which lie in the lake as `file`; for Bulk the CSV files are put beside it."""
    if composite.is_cheaper(rows, rows_per_send=rows_per_send, below=collections_below):
        size = min(rows_per_send, composite.MAX_ROWS)
        return Wave(
            way=Way.COLLECTIONS,
            file=file,
            rows=rows,
            rows_per_send=size,
            sizes=portions(rows, size),
            first_part=first_part,
        )
    wave = Wave(way=Way.BULK, file=file, rows=rows, rows_per_send=rows_per_send, sizes=[], first_part=first_part)
    with scratch_folder(scratch) as folder, read_batches(local, mapping.names) as batches:
        parts = write_parts(batches, mapping, folder, max_rows=rows_per_send)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            await lake.put_file(part.path, wave.csv_file(len(wave.sizes)))
            wave.sizes.append(part.rows)
            await asyncio.to_thread(part.path.unlink)
    return wave
