"""Settings of sf_sync; the README's table is held to this class by a test."""

from decimal import Decimal
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from libs.common.settings import ServiceSettings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class SfSyncSettings(ServiceSettings):
    """What sf_sync reads from the environment."""

    sf_login_url: str | None = Field(
        None, description="Where to log in: https:// and the org's My Domain; http:// only on this machine (emulator)."
    )
    sf_allow_plain_http: bool = Field(
        False, description="Accept http:// from other machines too: for an emulator in a private network, never an org."
    )
    sf_domain: str = Field(
        "login", description="Without SF_LOGIN_URL: https://<this>.salesforce.com; `login`, `test` or a My Domain."
    )
    sf_client_id: str | None = Field(None, description="Consumer key of the External Client App.")
    sf_client_secret: SecretStr | None = Field(None, description="Consumer secret; selects client credentials.")
    sf_private_key_file: Path | None = Field(
        None, description="PEM key of the app's certificate; with SF_USERNAME selects JWT bearer."
    )
    sf_username: str | None = Field(None, description="User to act as (JWT bearer) or to log in (password).")
    sf_password: SecretStr | None = Field(None, description="Selects the password login, which Salesforce is retiring.")
    sf_security_token: SecretStr | None = Field(None, description="Security token that goes with SF_PASSWORD.")
    sf_api_version: str = Field("62.0", pattern=r"^\d{2,3}\.0$", description="REST and Bulk API version.")
    sf_mapping_file: Path | None = Field(
        None, description="TOML file: signal column → Salesforce field; default: the one shipped with the service."
    )
    sf_max_error_rate_pct: Decimal = Field(
        Decimal("10.0"), ge=0, le=100, description="Percent of the week's rows failed or invalid above which it fails."
    )
    sf_source: Literal["signals", "warehouse"] = Field(
        "signals", description="Where rows come from: the file named in gate.passed, or the warehouse view."
    )
    sf_warehouse_url: SecretStr | None = Field(
        None, description="ODBC connection string of the warehouse, for SF_SOURCE=warehouse."
    )
    sf_warehouse_view: str = Field(
        "vw_salesforce_customer_weekly_export",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}$",
        description="View to read, for SF_SOURCE=warehouse.",
    )
    sf_job_max_rows: int = Field(100_000, ge=1, description="Rows of a Bulk job; 100 MB end it earlier.")
    sf_concurrent_jobs: int = Field(
        2, ge=1, le=25, description="Bulk jobs at a time; more are faster but contend for row locks."
    )
    sf_collections_below: int = Field(
        2000, ge=0, description="Fewer rows than this go through the Collections API, 200 a call; 0 never."
    )
    sf_row_retries: int = Field(4, ge=0, description="How often a row with a transient error is sent again.")
    sf_row_retry_wait_sec: float = Field(
        5.0, ge=0, description="Seconds before the first such retry; doubles each time."
    )
    sf_poll_first_sec: float = Field(1.0, gt=0, description="Seconds before the first look at a job; grows by half.")
    sf_poll_max_sec: float = Field(30.0, gt=0, description="Longest wait between two looks at a job.")
    sf_job_wait_sec: float = Field(
        1500.0, gt=0, description="Seconds to wait for jobs in one attempt; a later attempt re-attaches to them."
    )
    sf_sync_budget_sec: float = Field(
        1800.0, gt=0, description="Seconds that one attempt may take; longer than SF_JOB_WAIT_SEC."
    )
    sf_timeout_sec: float = Field(120.0, gt=0, description="Seconds without a byte after which a call has failed.")
    sf_http_retries: int = Field(3, ge=0, description="Retries of a safe (GET) call on a broken connection, 429, 5xx.")
    sf_limit_reserve_pct: Decimal = Field(
        Decimal("10.0"), ge=0, le=100, description="Percent of the org's daily limits that a sync leaves to others."
    )

    @property
    def login_url(self) -> str:
        """Where to log in, without a trailing slash."""
        return (self.sf_login_url or f"https://{self.sf_domain}.salesforce.com").rstrip("/")

    @property
    def login_unencrypted(self) -> bool:
        """Whether credentials travel to another machine in plain text, as SF_ALLOW_PLAIN_HTTP allows."""
        parts = urlsplit(self.login_url)
        return parts.scheme == "http" and parts.hostname not in _LOOPBACK

    @model_validator(mode="after")
    def _check(self) -> Self:
        scheme = urlsplit(self.login_url).scheme
        if scheme not in {"https", "http"} or (self.login_unencrypted and not self.sf_allow_plain_http):
            raise ValueError("SF_LOGIN_URL must begin with https:// (http:// only on this machine, for an emulator)")
        if self.sf_source == "warehouse" and self.sf_warehouse_url is None:
            raise ValueError("SF_SOURCE=warehouse needs SF_WAREHOUSE_URL")
        if self.sf_job_wait_sec >= self.sf_sync_budget_sec:
            raise ValueError("SF_JOB_WAIT_SEC must be less than SF_SYNC_BUDGET_SEC, or a slow job ends the attempt")
        ways = (
            bool(self.sf_client_id and self.sf_client_secret),
            bool(self.sf_client_id and self.sf_private_key_file and self.sf_username),
            bool(self.sf_username and self.sf_password),
        )
        if not any(ways):
            raise ValueError(
                "a login is missing: set SF_CLIENT_ID and SF_CLIENT_SECRET (client credentials), or SF_CLIENT_ID, "
                "SF_PRIVATE_KEY_FILE and SF_USERNAME (JWT bearer)"
            )
        return self
