"""Where everything lies in the lake: the only place that spells a path. Pure functions, '/'-separated, relative.

runs/{run_id}/{raw,validated,rejects,staging,sync}/…      private to a run, removed by retention
curated/{events,rejects}/week_start=…/week_end=…/         what readers see; `_manifest.json` is written last
signals/week_start=…/week_end=…/
sync/customer_weekly_metric/
state/checkpoint.json                                     a mirror, never the truth
"""

import uuid
from collections.abc import Iterable
from datetime import date
from typing import Final

from libs.common.lake.errors import LakePathError

CHECKPOINT_MIRROR: Final = "state/checkpoint.json"
RUNS_DIR: Final = "runs"
SYNC_DIR: Final = "sync/customer_weekly_metric"
MANIFEST_NAME: Final = "_manifest.json"

TEMP_PREFIX: Final = ".tmp-"
"""Begins the name of an unfinished upload. Reserved; leading dot, so Spark, DuckDB globs and pyarrow skip it too."""

# ADLS Gen2 takes no longer path; POSIX file systems take no longer name. Both lakes hold to both limits.
_MAX_PATH_CHARS: Final = 1024
_MAX_NAME_BYTES: Final = 255


def check_path(path: str) -> str:
    """Return `path` unchanged if every lake can hold it and it stays inside the lake; raise LakePathError otherwise."""
    if not path:
        raise LakePathError("The path is empty; the lake's root itself cannot be read, replaced or removed.")
    if len(path) > _MAX_PATH_CHARS:
        raise LakePathError(
            f"The path has {len(path)} characters, at most {_MAX_PATH_CHARS} are allowed: {path[:80]!r}…"
        )
    for name in path.split("/"):
        _check_name(name, path)
    return path


def _check_name(name: str, path: str) -> None:
    if name in {"", ".", ".."}:
        raise LakePathError(f"The path must be relative, without empty, '.' or '..' segments: {path!r}.")
    if name.endswith("."):  # Azure Storage strips or refuses it, depending on the call
        raise LakePathError(f"No segment of a path may end in a dot: {path!r}.")
    # %, ? and # mean something else in a URL, which references are; the Azure SDK also unquotes the source of a rename.
    if any(char in "\\%?#" or ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        raise LakePathError(f"The path holds a backslash, '%', '?', '#' or a control character: {path!r}.")
    if name.startswith(TEMP_PREFIX):
        raise LakePathError(f"Names that begin with {TEMP_PREFIX!r} are kept for unfinished uploads: {path!r}.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise LakePathError(f"The path is not valid Unicode: {path!r}.") from error
    if size > _MAX_NAME_BYTES:
        raise LakePathError(
            f"A segment of the path has {size} bytes, at most {_MAX_NAME_BYTES} are allowed: {name[:80]!r}…"
        )


def temporary_name() -> str:
    """A name for an unfinished upload that no other writer uses."""
    return f"{TEMP_PREFIX}{uuid.uuid4().hex}"


def is_temporary(path: str) -> bool:
    """Whether the path is, or lies in, something unfinished."""
    return f"/{TEMP_PREFIX}" in f"/{path}"


def part_name(index: int) -> str:
    """`part-00000.parquet` and so on; five digits so that names sort like numbers. 0 ≤ index < 100,000."""
    if not 0 <= index < 100_000:
        raise LakePathError(f"A part's number lies between 0 and 99999, not {index}.")
    return f"part-{index:05d}.parquet"


def _part_name_of(run_id: str, index: int) -> str:
    return f"{part_name(index).removesuffix('.parquet')}-{run_id}.parquet"


def run_dir(run_id: str) -> str:
    """Everything private to one run; retention removes it as a whole."""
    if "/" in run_id:
        raise LakePathError(f"A run id holds no '/': {run_id!r}.")
    return check_path(f"{RUNS_DIR}/{run_id}")


def run_ids(found: Iterable[str]) -> list[str]:
    """The runs that these paths below RUNS_DIR belong to, in order, each once."""
    return sorted({path.split("/")[1] for path in found})


def raw_dir(run_id: str) -> str:
    """The run's raw pages."""
    return f"{run_dir(run_id)}/raw"


def raw_part(run_id: str, index: int, attempt: int = 1) -> str:
    """Raw pages of one part, byte-exact, as fetched; from the second attempt on under a name of the attempt's own.

    What is fetched again is not the same to the byte, and two attempts may be at work at once.
    """
    name = part_name(index)
    return f"{raw_dir(run_id)}/{name if attempt == 1 else name.replace('.parquet', f'-attempt-{attempt:03d}.parquet')}"


def validated_dir(run_id: str) -> str:
    """The run's valid records."""
    return f"{run_dir(run_id)}/validated"


def validated_part(run_id: str, index: int) -> str:
    """Valid, normalised records of one part."""
    return f"{validated_dir(run_id)}/{part_name(index)}"


def rejects_dir(run_id: str) -> str:
    """The run's rejects."""
    return f"{run_dir(run_id)}/rejects"


def rejects_part(run_id: str, index: int) -> str:
    """Rejected records of one part, with the reason and the record as it came."""
    return f"{rejects_dir(run_id)}/{part_name(index)}"


def staging_dir(run_id: str) -> str:
    """What the gate will audit and publish."""
    return f"{run_dir(run_id)}/staging"


def load_manifest(run_id: str) -> str:
    """Names, checksums and counts of the staged files; `data.loaded` refers to it."""
    return f"{staging_dir(run_id)}/{MANIFEST_NAME}"


def staged_events_dir(run_id: str) -> str:
    """The future `curated_events_dir`, under construction."""
    return f"{staging_dir(run_id)}/events"


def staged_events_file(run_id: str, index: int) -> str:
    """One file of the future curated events.

    It bears the run's id: whoever has listed a week's files when a forced run replaces them finds them gone, never
    other contents under the same name.
    """
    return f"{staged_events_dir(run_id)}/{_part_name_of(run_id, index)}"


def staged_rejects_dir(run_id: str) -> str:
    """The future `curated_rejects_dir`, under construction."""
    return f"{staging_dir(run_id)}/rejects"


def staged_rejects_file(run_id: str, index: int) -> str:
    """One file of the future curated rejects; named as the events."""
    return f"{staged_rejects_dir(run_id)}/{_part_name_of(run_id, index)}"


def staged_signals_dir(run_id: str) -> str:
    """The future `signals_dir`, under construction."""
    return f"{staging_dir(run_id)}/signals"


def staged_signals_file(run_id: str) -> str:
    """The future `signals_file`."""
    return f"{staged_signals_dir(run_id)}/{part_name(0)}"


def run_sync_dir(run_id: str) -> str:
    """What was sent to Salesforce by this run, and every row's outcome."""
    return f"{run_dir(run_id)}/sync"


def week_dir(week_start: date, week_end: date) -> str:
    """Hive-style partition of one week, `week_start=YYYY-MM-DD/week_end=YYYY-MM-DD`; both days inclusive."""
    return f"week_start={week_start:%Y-%m-%d}/week_end={week_end:%Y-%m-%d}"


def curated_events_dir(week_start: date, week_end: date) -> str:
    """Published valid events of a week."""
    return f"curated/events/{week_dir(week_start, week_end)}"


def curated_manifest(week_start: date, week_end: date) -> str:
    """Written last: a week without it is not published."""
    return f"{curated_events_dir(week_start, week_end)}/{MANIFEST_NAME}"


def curated_rejects_dir(week_start: date, week_end: date) -> str:
    """Published rejects of a week."""
    return f"curated/rejects/{week_dir(week_start, week_end)}"


def signals_dir(week_start: date, week_end: date) -> str:
    """Published customer-week signals of a week."""
    return f"signals/{week_dir(week_start, week_end)}"


def signals_file(week_start: date, week_end: date) -> str:
    """The one file of a week's signals."""
    return f"{signals_dir(week_start, week_end)}/{part_name(0)}"
