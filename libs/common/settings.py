"""Settings: read once from the environment (and `.env`), validated at start, frozen.

Each service's `settings.py` derives its own class from `ServiceSettings`. A field's description says unit and effect;
it is what `--help` prints and what a test compares with the service's README.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.common.errors import SettingsError


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split_commas)]
"""`300,600,1200` in the environment, a tuple of numbers in the code."""


class CommonSettings(BaseSettings):
    """What every process of the project reads. Unless told otherwise, the folder that `retl run` makes."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    pipeline_name: str = Field("ecommerce_customer_weekly", description="Name of the pipeline in the state tables.")
    servicebus_connection_string: SecretStr | None = Field(
        None, description="Service Bus by key, or the emulator (with UseDevelopmentEmulator=true)."
    )
    servicebus_namespace: str | None = Field(
        None, description="Service Bus by identity: `<name>.servicebus.windows.net`, with DefaultAzureCredential."
    )
    state_url: str = Field(
        "sqlite:///retl-data/state.db", description="State tables: sqlite:///file or mssql+pyodbc://…."
    )
    lake_url: str = Field(
        default_factory=lambda: Path("retl-data/lake").absolute().as_uri(),
        description="Lake: file:///folder or abfss://container@account…/prefix.",
    )
    datalake_connection_string: SecretStr | None = Field(
        None, description="Lake by key, or the emulator; without it abfss:// uses DefaultAzureCredential."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe line that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people.")
    stale_checkpoint_days: int = Field(
        14, ge=1, description="Days after which an unmoved checkpoint is reported as stale."
    )


class ServiceSettings(CommonSettings):
    """What every service reads besides. Where to keep things must be said: a guess is lost with its container."""

    state_url: str = Field(description="State tables: sqlite:///file or mssql+pyodbc://….")
    lake_url: str = Field(description="Lake: file:///folder or abfss://container@account…/prefix.")
    retry_delays_sec: CommaSeparated = Field(
        (300.0, 600.0, 1200.0),
        description="Seconds before each delayed retry of a message; their number is the retries.",
    )
    health_host: str = Field("0.0.0.0", description="Address of /livez, /readyz and /metrics.")
    health_port: int = Field(
        8080, ge=0, le=65535, description="Port of /livez, /readyz and /metrics; 0 picks a free one."
    )
    scratch_dir: Path = Field(
        Path("/tmp/retl"), description="Folder for temporary files, bounded by part; processes may share it."
    )
    run_budget_sec: float = Field(4 * 3600, gt=0, description="Seconds after which a run is TIMED_OUT.")
    stop_grace_sec: float = Field(25, ge=0, description="Seconds that work in flight gets to finish after SIGTERM.")
    slack_webhook_url: SecretStr | None = Field(None, description="Where alerts go besides the log.")
    failpoint: str | None = Field(None, description="For chaos tests only: where to crash; see docs/delivery.md.")


S = TypeVar("S", bound=BaseSettings)


def load_settings(kind: type[S], **overrides: Any) -> S:
    """Read and validate the settings of a process.

    Raises SettingsError that names every faulty setting by its environment name, never its value (it may be secret).
    """
    try:
        return kind(**overrides)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])).upper()}: {'is not set' if e['type'] == 'missing' else e['msg']}"
            for e in error.errors(include_input=False)
        )
        raise SettingsError(f"Wrong settings. {faults}.") from None
