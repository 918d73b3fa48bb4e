"""`python -m services.sf_sync`: settings → session → worker. With `preview`: what a sync would send."""

import sys

from libs.common.messages import GatePassed
from libs.common.service import Service, main
from libs.common.state import RunStatus, Stage
from services.sf_sync import preview
from services.sf_sync.composition import build
from services.sf_sync.settings import SfSyncSettings

SERVICE = Service(
    name="sf_sync",
    about="Upserts into Salesforce what changed of a week's signals; the lake's sync logs account for every row.",
    consumes=GatePassed,
    stage=Stage.SALESFORCE_SYNC,
    settings=SfSyncSettings,
    build=build,
    budget_sec=lambda settings: settings.sf_sync_budget_sec,
    # The run has succeeded before the sync begins; a superseded one's message is dropped.
    admits=frozenset({RunStatus.SUCCESS, RunStatus.SUCCESS_WITH_REJECTS}),
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["preview"]:
        sys.exit(preview.main(sys.argv[2:]))
    sys.exit(main(SERVICE))
