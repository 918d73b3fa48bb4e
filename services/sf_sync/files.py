"""Between the lake and the scratch folder."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.lake import Lake
from services.sf_sync.source import BATCH_ROWS


@contextmanager
def scratch_folder(scratch: Path) -> Iterator[Path]:
    """A folder below `scratch` that goes away with its content."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@asynccontextmanager
async def local_copies(lake: Lake, files: Sequence[str], scratch: Path) -> AsyncIterator[list[Path]]:
    """Readable local copies, in the order of `files`. Raises LakeError."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(lake.local_copy(file, scratch)) for file in files]


@contextmanager
def read_batches(file: Path, columns: Sequence[str] | None = None) -> Iterator[Iterator[pa.RecordBatch]]:
    """A Parquet file's rows, BATCH_ROWS at a time."""
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        yield parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns and list(columns), use_threads=False)
