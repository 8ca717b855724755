"""Which MQTT broker, and how to get in.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from robots.errors import ConfigError


@dataclass(kw_only=True)
class BrokerConfig:
    """The MQTT broker for telemetry and commands; without a host there is none."""

    # Host of the broker; empty: no telemetry and no remote commands.
    host: str = ""
    port: int = 1883
    username: str = ""
    # Name of the environment variable that holds the password (a password never stands in a flag).
    password_env: str = ""
    # CA certificate file; given, the connection uses TLS.
    tls_ca: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError("isn't a port", field="--broker.port", value=self.port)
        if self.password_env and self.password_env not in os.environ:
            raise ConfigError(
                "isn't set in the environment",
                field="--broker.password_env",
                value=self.password_env,
                remedy=f"export {self.password_env}=…",
            )
        if self.tls_ca and not Path(self.tls_ca).is_file():
            raise ConfigError("isn't a file", field="--broker.tls_ca", value=self.tls_ca)

    @property
    def password(self) -> str:
        """From the environment; empty without one."""
        return os.environ[self.password_env] if self.password_env else ""
