"""Addresses of nodes, as clients write them."""

from urllib.parse import unquote, urlsplit

CBS = "$cbs"
MANAGEMENT_SUFFIX = "/$management"


def path_of(address: str) -> str:
    """Return the path of an address, such as ``t/Subscriptions/s`` of ``amqps://localhost:5672/t/Subscriptions/s``."""
    path = urlsplit(address).path if "://" in address else address
    return unquote(path).strip("/")
