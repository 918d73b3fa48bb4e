"""Frames: eight octets of header, a performative, and for a transfer the payload (part 2.3 of the specification)."""

import struct
from typing import NamedTuple

from .errors import FramingError
from .performatives import Performative, encode_performative

AMQP_FRAME, SASL_FRAME = 0, 1
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
HEARTBEAT = bytes((0, 0, 0, 8, 2, AMQP_FRAME, 0, 0))
MAX_FRAME_SIZE = 1024 * 1024
# What the frame header and an encoded transfer performative may take besides the payload.
TRANSFER_OVERHEAD = 128

_HEADER = struct.Struct(">IBBH")


class Frame(NamedTuple):
    """One received frame; an empty ``body`` is a heartbeat."""

    kind: int
    channel: int
    body: bytes


def encode_frame(channel: int, performative: Performative, payload: bytes = b"", kind: int = AMQP_FRAME) -> bytes:
    """Encode a frame."""
    body = encode_performative(performative)
    return _HEADER.pack(_HEADER.size + len(body) + len(payload), 2, kind, channel) + body + payload


class FrameBuffer:
    """Cuts what arrives from the network into protocol headers and frames."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def feed(self, octets: bytes) -> None:
        """Append what arrived."""
        self._octets += octets

    def take_header(self) -> bytes | None:
        """Return the next eight octets as a protocol header, None while there are fewer."""
        if len(self._octets) < _HEADER.size:
            return None
        header = bytes(self._octets[: _HEADER.size])
        del self._octets[: _HEADER.size]
        return header

    def take_frame(self) -> Frame | None:
        """Return the next frame, None while it is not whole. Raises FramingError for an impossible size."""
        octets = self._octets
        if len(octets) < _HEADER.size:
            return None
        size, words, kind, channel = _HEADER.unpack_from(octets)
        if size > MAX_FRAME_SIZE:
            raise FramingError(f"a frame of {size} octets; the limit is {MAX_FRAME_SIZE}")
        if not 2 <= words <= size // 4:
            raise FramingError(f"a frame of {size} octets cannot have its body at octet {words * 4}")
        if len(octets) < size:
            return None
        body = bytes(octets[words * 4 : size])
        del octets[:size]
        return Frame(kind, channel, body)
