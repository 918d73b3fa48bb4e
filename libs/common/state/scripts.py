"""The migrations as T-SQL for a DBA: `python -m libs.common.state.scripts deploy/sql/state` writes the files anew.

One file for each revision, to be run in order, each in one transaction that ends all or nothing.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from libs.common.state.engine import DEFAULT_SCHEMA
from libs.common.state.tables import Naming
from libs.common.state.upgrade import alembic_config

_HEADER = """\
-- {summary}
-- Rendered from libs/common/state/migrations by `python -m libs.common.state.scripts deploy/sql/state`.
-- Revision {revision}; {needs}. For sqlcmd or SSMS, which end a batch at GO.
-- An error ends the batch and rolls everything back: no half of a revision stays.

-- Filtered indexes need these, and sqlcmd starts without the second.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
SET XACT_ABORT ON;
GO

"""


def render_scripts(naming: Naming | None = None) -> dict[str, str]:
    """File name → T-SQL, one for each revision, the oldest first. Needs neither a database nor a driver."""
    naming = naming or Naming(DEFAULT_SCHEMA)
    steps = reversed(list(ScriptDirectory.from_config(alembic_config(naming)).walk_revisions()))
    scripts = {}
    for step in steps:
        name = f"{Path(step.path).stem}.sql"
        before = step.down_revision if isinstance(step.down_revision, str) else None
        header = _HEADER.format(
            summary=(step.doc or "").strip(),
            revision=step.revision,
            needs=f"needs revision {before}" if before else "needs an empty schema",
        )
        scripts[name] = header + _body(naming, f"{before or 'base'}:{step.revision}")
    return scripts


def _body(naming: Naming, revisions: str) -> str:
    buffer = io.StringIO()
    config = alembic_config(naming)
    config.output_buffer = buffer
    command.upgrade(config, revisions, sql=True)
    # One batch: after an error in a batch of its own, sqlcmd would run the next one outside the transaction.
    statements = re.sub(r"^GO$\n*", "", buffer.getvalue(), flags=re.MULTILINE)
    lines = (line.rstrip().expandtabs(4) for line in statements.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\nGO\n"


def main(arguments: list[str]) -> int:
    """Write every script below the folder named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m libs.common.state.scripts FOLDER\n")
        return 2
    for name, text in render_scripts().items():
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
