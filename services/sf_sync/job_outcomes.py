"""From the three result sets of an ended job to the outcomes of its rows."""

from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.sf_sync.bulk import Job, JobState, ResultSet
from services.sf_sync.canonical import KEY
from services.sf_sync.errors import OutcomesIncompleteError
from services.sf_sync.outcomes import ABORTED, UNPROCESSED, Kind, RowError
from services.sf_sync.results import OutcomeWriter, add_failed, add_successful, add_unprocessed

_HOPELESS: Final = ("InvalidBatch", "ClientInputError", "InvalidJob", "FeatureNotEnabled")
"""How the error of a job begins that would fail again in the same way (Bulk API 2.0 guide, Errors)."""


def write_job_outcomes(
    target: Path, job: Job, pages: dict[ResultSet, list[Path]], wave: int, external_id: str, *, rows: int
) -> OutcomeWriter:
    """Write the outcome of every row that the job reports on; the writer, closed, has the counts. Blocks.

    Raises OutcomesIncompleteError unless the three sets hold `rows` different rows.
    """
    with OutcomeWriter(target, wave=wave, job_id=job.job_id) as writer:
        add_successful(writer, pages[ResultSet.SUCCESSFUL], external_id)
        add_failed(writer, pages[ResultSet.FAILED], external_id)
        add_unprocessed(writer, pages[ResultSet.UNPROCESSED], external_id, why_unprocessed(job))
    different = pc.count_distinct(pq.read_table(target, columns=[KEY]).column(KEY), mode="all").as_py()
    if writer.rows != rows or different != rows:
        raise OutcomesIncompleteError(
            f"Job {job.job_id} ({job.state}) got {rows} rows and reports on {writer.rows}, of which {different} differ."
        )
    return writer


def why_unprocessed(job: Job) -> RowError:
    """Why rows of the job were not reached, and whether another job would reach them."""
    if job.state is JobState.ABORTED:
        return ABORTED
    if job.error_message.startswith(_HOPELESS):
        return RowError("JOB_FAILED", job.error_message, Kind.PERMANENT)
    return RowError(UNPROCESSED.code, job.error_message or UNPROCESSED.message, UNPROCESSED.kind)
