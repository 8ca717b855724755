"""A robot's key: who it is to the SuperLink (ECDSA P-384, as Flower's SuperNodes want it).

It is made on the robot at its first start and never leaves it. The server's operator registers the
public half under the robot's name: then the name in a report is the authenticated one.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.policy.atomic import replacing
from robots.errors import ConfigError

_MODE = 0o600


def ensure_key(path: Path) -> Path:
    """Make the robot's key if it has none.

    Args:
        path: The private key's file, OpenSSH's format, for this user's eyes only.

    Returns:
        ``path``.

    Raises:
        ConfigError: the folder can't be written.
    """
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP384R1())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.touch(_MODE)
            temporary.write_bytes(text)
    except OSError as error:
        raise ConfigError(
            f"can't be written: {error.strerror}", field="--state_dir", value=path.parent
        ) from error
    return path


def public_line(path: Path, name: str) -> str:
    """The public half on one line, as OpenSSH writes it, with the robot's name behind it.

    Args:
        path: The private key's file.
        name: The robot's name.

    Raises:
        ConfigError: it can't be read, or is no such key.
    """
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"can't be read: {error}", field="key", value=path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("is no ECDSA key", field="key", value=path)
    encoded = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{encoded.decode()} {name}"
