"""The extractor's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from libs.common.settings import ServiceSettings


class ExtractorSettings(ServiceSettings):
    """Where the events come from and how hard the source may be worked."""

    api_base_url: str = Field(description="Scheme, host and base path of the events API, without a trailing slash.")
    api_key: SecretStr | None = Field(None, description="Sent as `Authorization: Bearer <key>` unless API_KEY_HEADER.")
    api_key_header: str = Field(
        "Authorization",
        description="Header that carries the key; any other than Authorization gets it without `Bearer`.",
    )
    api_events_path: str = Field("/events", description="Path of the events collection below API_BASE_URL.")
    api_page_size: int = Field(1000, ge=1, le=100_000, description="Records asked for in a page.")
    api_pagination: Literal["page", "cursor", "link"] = Field(
        "page", description="How the API names the next page: number, `next_cursor` in the body, or a Link header."
    )
    api_max_retries: int = Field(
        3, ge=0, le=20, description="Further tries of one request before the message is retried."
    )
    api_timeout_sec: float = Field(30.0, gt=0, description="Seconds for one request from connecting to the last byte.")
    api_concurrency: int = Field(4, ge=1, le=64, description="Pages in flight at once (page pagination only).")
    api_rate_limit_per_sec: float = Field(0.0, ge=0, description="Requests a second over all pages; 0 is no limit.")
    api_max_body_bytes: int = Field(64_000_000, ge=1000, description="Largest page accepted, in bytes.")
    part_max_events: int = Field(100_000, ge=1, description="A part is closed when it holds so many events,")
    part_max_bytes: int = Field(64_000_000, ge=1000, description="or so many raw bytes, whichever is first.")
    run_retention_days: int = Field(
        30, ge=1, description="Days after its end for which a run's private files are kept, for a replay or a repair."
    )
    extract_budget_sec: float = Field(2 * 3600, gt=0, description="Seconds after which an extraction is TIMED_OUT.")

    @field_validator("api_base_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")
