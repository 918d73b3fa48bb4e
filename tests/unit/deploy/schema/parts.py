"""What several kinds are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|Ki|Mi|Gi)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Texts = dict[str, str]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Name
    namespace: Name | None = None
    labels: Texts = {}
    annotations: Texts = {}


class Labels(Strict):
    labels: Texts
    annotations: Texts = {}


class Selector(Strict):
    matchLabels: Annotated[Texts, Field(min_length=1)]


class Named(Strict):
    name: Name
