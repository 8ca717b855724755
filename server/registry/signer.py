"""The key that a server signs its releases with.

It is made with the first release folder, readable by the server's user alone, and never leaves the
host. Whoever has it can give robots new weights: back it up like a password. To change it, tell the
robots of the new one first (``armada models trust``), then move the file away: the next start makes
another.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.policy.atomic import replacing
from agent.releases.signature import Signature
from robots.errors import ConfigError

_MODE = 0o600


class Signer:
    """Signs manifests.

    Args:
        key: The server's.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """What robots are to trust, base64."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, data: bytes) -> Signature:
        """A signature of exactly these bytes."""
        return Signature(self.public, self._key.sign(data))


def ensure_signer(path: Path) -> Signer:
    """The server's key, made if there is none.

    Args:
        path: PEM (PKCS 8).

    Raises:
        ConfigError: the file can't be read or written, is no such key, or others can read it.
    """
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise ConfigError(
                "can be read by others", field="signing key", value=path, remedy=f"chmod 600 {path}"
            )
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"can't be used: {error}", field="signing key", value=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("is no Ed25519 key", field="signing key", value=path)
    return Signer(key)


def _make(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        # Never readable by others, not even while it is written.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE))
        temporary.write_bytes(text)
