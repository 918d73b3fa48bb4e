"""One request, taken apart."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from libs.emulators.datalake.account import Account
from libs.emulators.datalake.contents import PIECE_BYTES
from libs.emulators.datalake.errors import ServiceError, bad_request
from libs.emulators.datalake.nodes import Container, Node


@dataclass(frozen=True, slots=True)
class Call:
    """A request to `container` and `path` ("" where the URL has none), decoded, without surrounding '/'."""

    request: web.Request
    account: Account
    container_name: str
    path: str
    is_dfs: bool
    """Whether the caller speaks to the DFS endpoint, whose errors are JSON and have other codes."""

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters, decoded."""
        return self.request.query

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return self.account.now()

    def header(self, name: str) -> str:
        """A header's value; "" if it is missing or empty, which the SDKs mean to be the same."""
        return self.request.headers.get(name, "")

    def number(self, name: str, default: int | None = None) -> int:
        """A query parameter that is a whole number, not negative."""
        text = self.query.get(name, "" if default is None else str(default))
        if not text.isdecimal():
            code = "InvalidQueryParameterValue" if text else "MissingRequiredQueryParameter"
            raise bad_request(code, f"The query parameter {name!r} must be a whole number, not {text!r}.")
        return int(text)

    def metadata(self) -> dict[str, str]:
        """The `x-ms-meta-*` headers, lower-case, without the prefix."""
        prefix = "x-ms-meta-"
        headers = ((name.lower(), value) for name, value in self.request.headers.items())
        return {name.removeprefix(prefix): value for name, value in headers if name.startswith(prefix)}

    async def body(self) -> bytes:
        """The whole body; only for small ones."""
        return await self.request.read()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in."""
        async for piece in self.request.content.iter_chunked(PIECE_BYTES):
            yield piece

    def container(self) -> Container:
        """The container, or 404."""
        container = self.account.namespace.container(self.container_name)
        if container is None:
            code = "FilesystemNotFound" if self.is_dfs else "ContainerNotFound"
            raise ServiceError(404, code, f"The container {self.container_name!r} does not exist.")
        return container

    def find(self) -> Node | None:
        """The file or directory, or None; 404 if even the container is missing."""
        return self.account.namespace.find(self.container().name, self.path)

    def node(self) -> Node:
        """The file or directory, or 404."""
        node = self.find()
        if node is None:
            code = "PathNotFound" if self.is_dfs else "BlobNotFound"
            raise ServiceError(404, code, f"The path {self.path!r} does not exist.")
        return node


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def split_url_path(raw_path: str, account: str) -> tuple[str, str]:
    """Container and path out of `/account/container/path`; raises 400 for another account."""
    name, _, rest = unquote(raw_path).lstrip("/").partition("/")
    if name != account:
        raise bad_request("InvalidUri", f"The URL must begin with the account, /{account}/, not with {name!r}.")
    container, _, path = rest.partition("/")
    return container, path.strip("/")
