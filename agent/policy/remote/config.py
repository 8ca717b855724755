"""Which policy server, and how to get in.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.token import check_token, read_token
from robots.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_NEEDS_A_SERVER = (
    "root_certificates",
    "token_env",
    "token_file",
    "client_certificate",
    "client_key",
    "jpeg_quality",
    "fallback",
)


def check_unused(
    config: Any, names: Sequence[str], message: str, *, prefix: str, remedy: str
) -> None:
    """Refuse what would be read and then ignored, when somebody set it.

    Args:
        config: A dataclass.
        names: Fields of it that nobody would look at.
        message: Why.
        prefix: Of their flags, such as ``--inference.``.
        remedy: What to do about it.

    Raises:
        ConfigError: one of them is not what it is by default.
    """
    for field in dataclasses.fields(config):
        if field.name not in names:
            continue
        factory, value = field.default_factory, getattr(config, field.name)
        if value != (field.default if factory is dataclasses.MISSING else factory()):
            raise ConfigError(message, field=prefix + field.name, value=value, remedy=remedy)


@dataclass(kw_only=True)
class RemoteConfig:
    """A policy server in place of a policy worker; without a server there is none."""

    # Policy server, host:port; empty: the policy runs on this host.
    server: str = ""
    # CA of its certificate, a PEM file; empty: plaintext, allowed on loopback only.
    root_certificates: str = ""
    # Name of the environment variable that holds this robot's token (it never stands in a flag).
    token_env: str = ""
    # Or the file that holds it.
    token_file: str = ""
    # This robot's certificate and key, PEM files, for a server that asks for one.
    client_certificate: str = ""
    client_key: str = ""
    # Quality of the pictures that are sent, from 1 to 100.
    jpeg_quality: int = 70
    # Keep the policy of --policy.path ready on this host, for when the server can't be asked.
    fallback: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigError(
                "must be from 1 to 100", field="--inference.jpeg_quality", value=self.jpeg_quality
            )
        if not self.server:
            check_unused(
                self,
                _NEEDS_A_SERVER,
                "there is no server to use it with",
                prefix="--inference.",
                remedy="Give --inference.server=HOST:PORT",
            )
            return
        host, _, port = self.server.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError("must be host:port", field="--inference.server", value=self.server)
        if not self.root_certificates and host not in LOOPBACK:
            raise ConfigError(
                "plaintext is for loopback only",
                field="--inference.server",
                value=self.server,
                remedy="Give --inference.root_certificates=ca.crt",
            )
        for name in ("root_certificates", "client_certificate", "client_key"):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                raise ConfigError("isn't a file", field=f"--inference.{name}", value=path)
        if bool(self.client_certificate) != bool(self.client_key):
            raise ConfigError(
                "go together", field="--inference.client_certificate, --inference.client_key"
            )
        if self.client_certificate and not self.root_certificates:
            raise ConfigError(
                "needs TLS",
                field="--inference.client_certificate",
                remedy="Give --inference.root_certificates=ca.crt",
            )
        check_token(self.token_env, self.token_file, prefix="--inference.")

    def token(self) -> str:
        """From the environment or the file; empty without one.

        Raises:
            ConfigError: the file can't be read.
        """
        return read_token(self.token_env, self.token_file, prefix="--inference.")
