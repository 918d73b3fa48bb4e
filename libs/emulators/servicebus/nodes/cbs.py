"""Claims-based security: clients put a token for every entity before they attach to it. Any token is good here."""

from typing import Any

from ..broker.message import Message
from .requests import RequestNode


class CbsNode(RequestNode):
    """The node ``$cbs``."""

    def answer(self, request: Message) -> tuple[dict[str, Any], Any]:
        """Accept the token."""
        return {"status-code": 202, "status-description": "Accepted"}, None
