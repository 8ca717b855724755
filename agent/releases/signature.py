"""Who a release is from: Ed25519 over the manifest's bytes, exactly as they lie and travel.

The manifest names the sha256 of every other file, so one signature covers a release. A signature
file is one line, ``ed25519 <public key> <signature>``, both in base64; the key in it says whose
signature it claims to be, and nothing about whether to believe it: that is :mod:`.trust`. Anyone
can check one with ``openssl pkeyutl -verify -rawin``.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from robots.errors import ConfigError, ModelError

_SCHEME = "ed25519"
_KEY_B, _SIGNATURE_B = 32, 64


@dataclass(frozen=True)
class Signature:
    """A signature and the key that it claims to be of.

    Args:
        key: Public key, base64, as it is shown to people and configured.
        value: The 64 bytes.
    """

    key: str
    value: bytes

    @classmethod
    def parse(cls, line: bytes) -> Signature:
        """Read what lies beside a manifest.

        Raises:
            ModelError: it is no signature.
        """
        try:
            scheme, key, value = line.decode("ascii").split()
            if scheme != _SCHEME:
                raise ValueError(scheme)
            return cls(check_key(key), _decode(value, _SIGNATURE_B))
        except (ValueError, ConfigError) as error:
            raise ModelError(
                "can't be read" if line.strip() else "is missing",
                field="the release's signature",
                remedy="No release is taken without one; ask who runs the server",
            ) from error

    def line(self) -> bytes:
        """What lies beside the manifest."""
        return f"{_SCHEME} {self.key} {base64.b64encode(self.value).decode()}\n".encode()

    def covers(self, data: bytes) -> bool:
        """Whether the holder of the key signed exactly these bytes."""
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.key))
        try:
            public.verify(self.value, data)
        except InvalidSignature:
            return False
        return True


def check_key(text: str) -> str:
    """A public key as it is written everywhere.

    Raises:
        ConfigError: it is none.
    """
    try:
        return base64.b64encode(_decode(text, _KEY_B)).decode()
    except ValueError as error:
        raise ConfigError(
            "is no Ed25519 public key in base64",
            field="release key",
            value=text[:60],
            remedy="`armada server` shows it when it starts, as release key",
        ) from error


def read_keys(text: str) -> tuple[str, ...]:
    """The keys of a file's text: one a line, what follows it and ``#`` are comments.

    Raises:
        ConfigError: a line that is no key.
    """
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return tuple(check_key(words[0]) for words in lines if words)


def configured_keys(value: str) -> tuple[str, ...]:
    """What ``--federation.release_key`` means: a key, or a file of keys.

    Raises:
        ConfigError: neither.
    """
    if not value:
        return ()
    path = Path(value)
    try:
        if path.is_file():
            keys = read_keys(path.read_text(encoding="utf-8"))
            if not keys:
                raise ConfigError("holds no key", field="--federation.release_key", value=value)
            return keys
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"can't be read: {error}", field="--federation.release_key", value=value
        ) from error
    return (check_key(value),)


def _decode(text: str, size: int) -> bytes:
    """Raises: ValueError if it isn't base64 of so many bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes")
    return data
