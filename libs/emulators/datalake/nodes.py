"""What the emulator remembers of a container, a file or a directory."""

import math
import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lease:
    """An exclusive right to write. `until` is in epoch seconds, infinite for a lease without end."""

    id: str
    duration_sec: float
    until: float
    breaking: bool = False

    def is_active(self, now: float) -> bool:
        """Whether writers must show this lease's id."""
        return now < self.until

    def state(self, now: float) -> str:
        """The value of `x-ms-lease-state`."""
        if not self.is_active(now):
            return "broken" if self.breaking else "expired"
        return "breaking" if self.breaking else "leased"

    @property
    def is_infinite(self) -> bool:
        """Whether the lease was acquired without end."""
        return math.isinf(self.duration_sec)


@dataclass(frozen=True, slots=True)
class Container:
    """A container, alias file system."""

    name: str
    etag: str
    modified_at: float


@dataclass(slots=True)
class Node:
    """A file or a directory. `path` has no leading or trailing '/'; times are epoch seconds."""

    container: str
    path: str
    is_directory: bool
    created_at: float
    modified_at: float
    etag: str = field(default_factory=lambda: new_etag())
    content: str = ""
    """Name of the content file; "" until something is written."""
    size: int = 0
    """Committed bytes; what is appended but not flushed lies behind them, unseen."""
    headers: dict[str, str] = field(default_factory=dict)
    """Content-Type and its like, under lower-case names."""
    metadata: dict[str, str] = field(default_factory=dict)
    lease: Lease | None = None

    def touch(self, now: float) -> None:
        """Mark a change: new ETag, new Last-Modified."""
        self.etag = new_etag()
        self.modified_at = now


def new_etag() -> str:
    """Never the same twice; quoted, as HTTP wants it."""
    return f'"0x{uuid.uuid4().hex[:15].upper()}"'


def parent_of(path: str) -> str:
    """The directory above; "" is the root."""
    return path.rpartition("/")[0]
