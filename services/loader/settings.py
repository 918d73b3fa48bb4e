"""The loader's settings."""

from pydantic import Field

from libs.common.settings import ServiceSettings


class LoaderSettings(ServiceSettings):
    """How large the files become."""

    load_group_events: int = Field(
        300_000,
        ge=1,
        description="Records merged into one file at most; memory grows with it, about 200 MB at the default.",
    )
    load_budget_sec: float = Field(30 * 60, gt=0, description="Seconds after which loading a part is TIMED_OUT.")
