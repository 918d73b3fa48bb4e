"""Checks the assertion of the OAuth JWT bearer flow (RFC 7523): RS256 signature, issuer, subject, audience, expiry."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_SALESFORCE_HOST = re.compile(r"https://[a-z0-9.-]+\.salesforce\.com", re.IGNORECASE)


class InvalidAssertion(Exception):
    """The assertion is refused; the text says why, in Salesforce's words."""


class _Header(msgspec.Struct):
    alg: str


class Claims(msgspec.Struct):
    """What the assertion must say; ``exp`` may be a number or its text, as simple-salesforce sends it."""

    iss: str
    sub: str
    aud: str
    exp: int | float | str


def load_public_key(path: Path) -> rsa.RSAPublicKey:
    """Read an RSA public key or an X.509 certificate in PEM. Raises ValueError naming the file."""
    try:
        pem = path.read_bytes()
        if b"BEGIN CERTIFICATE" in pem:
            key: object = x509.load_pem_x509_certificate(pem).public_key()
        else:
            key = serialization.load_pem_public_key(pem)
    except (OSError, ValueError) as error:
        raise ValueError(f"--jwt-public-key {path}: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"--jwt-public-key {path}: not an RSA key; RS256 needs one")  # noqa: TRY004 - one error type for the flag
    return key


def verify_assertion(
    assertion: str,
    *,
    public_key: rsa.RSAPublicKey | None,
    issuer: str,
    subject: str,
    audiences: Collection[str],
    now: float,
) -> Claims:
    """Check the assertion and return its claims; without a ``public_key`` any signature passes.

    The audience may be one of ``audiences`` or any https address under salesforce.com. Raises InvalidAssertion.
    """
    try:
        signed, _, signature = assertion.rpartition(".")
        head, _, body = signed.partition(".")
        header = msgspec.json.decode(_decode(head), type=_Header)
        claims = msgspec.json.decode(_decode(body), type=Claims)
        expires_at = float(claims.exp)
        signature_bytes = _decode(signature)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidAssertion("invalid assertion") from error
    if header.alg != "RS256":
        raise InvalidAssertion("invalid assertion")
    if public_key is not None:
        try:
            public_key.verify(signature_bytes, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise InvalidAssertion("invalid assertion") from error
    if claims.iss != issuer:
        raise InvalidAssertion("client identifier invalid")
    if claims.sub != subject:
        raise InvalidAssertion("user hasn't approved this consumer")
    if claims.aud.rstrip("/") not in audiences and not _SALESFORCE_HOST.fullmatch(claims.aud.rstrip("/")):
        raise InvalidAssertion("audience is invalid")
    if expires_at <= now:
        raise InvalidAssertion("assertion expired")
    return claims


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
