"""The configuration of ``armada server``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.federation.payload.spec import TrainsConfig
from robots.errors import ConfigError
from robots.names import check_name
from server.paths import ServerState

FEWEST_RELEASES = 18
"""An update may lie 16 releases behind (``server.rounds.late``) the one that its round starts from,
and one more is made of it."""


@dataclass(kw_only=True)
class BasePolicyRef:
    """Which policy the fleet starts from; needed once, for a new state folder."""

    # Folder of a LeRobot `pretrained_model`, or a hub id such as lerobot/smolvla_base.
    path: str = ""


@dataclass(kw_only=True)
class ServerBrokerConfig:
    """The MQTT broker that releases are announced on and robots are heard on."""

    # Host of the fleet's broker; empty: the server runs one of its own.
    host: str = ""
    port: int = 1883
    username: str = ""
    # Name of the environment variable that holds the password (a password never stands in a flag).
    password_env: str = ""
    # CA certificate file; given, the connection uses TLS.
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_port("--broker.port", self.port)
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


@dataclass(kw_only=True)
class ServerConfig:
    """``armada server``: SuperLink, what runs rounds, releases, and a broker if there is none."""

    policy: BasePolicyRef = field(default_factory=BasePolicyRef)
    # What the fleet trains; needed once, for a new state folder, and full if it isn't said.
    trains: TrainsConfig | None = None
    broker: ServerBrokerConfig = field(default_factory=ServerBrokerConfig)
    fleet: str = "default"
    # Where rounds, releases and the SuperLink's database are kept; empty: the user's state folder.
    state_dir: str = ""
    # Releases that are kept whole; of older ones manifest, signature and change stay.
    keep_releases: int = 20
    # Least free space on the disk of the state folder to begin a round with, in GB.
    min_free_gb: float = 2.0
    # Address to listen on for robots and operators.
    host: str = "127.0.0.1"
    # Rounds and releases (gRPC).
    port: int = 29300
    # The SuperLink's Fleet API, which the robots' SuperNodes connect to (gRPC).
    superlink_port: int = 29092
    # The SuperLink's own HTTP API, on loopback only: it asks nobody who they are.
    control_port: int = 28000
    # Certificate chain, key and CA, PEM files. Needed to listen beyond loopback.
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_name("--fleet", self.fleet)
        ports = {
            "--port": self.port,
            "--superlink_port": self.superlink_port,
            "--control_port": self.control_port,
        }
        for name, value in ports.items():
            check_port(name, value)
        if len({*ports.values()}) < len(ports):
            raise ConfigError("are the same", field=", ".join(ports), value=self.port)
        if self.keep_releases < FEWEST_RELEASES:
            raise ConfigError(
                f"must be at least {FEWEST_RELEASES}",
                field="--keep_releases",
                value=self.keep_releases,
                remedy="Updates that come late are set against the release that they started from",
            )
        if not 0 <= self.min_free_gb <= 1e6:
            raise ConfigError(
                "must be from 0 to 1000000", field="--min_free_gb", value=self.min_free_gb
            )
        files = {"--tls_cert": self.tls_cert, "--tls_key": self.tls_key, "--tls_ca": self.tls_ca}
        for name, path in files.items():
            if path and not Path(path).is_file():
                raise ConfigError("isn't a file", field=name, value=path)
        if any(files.values()) and not all(files.values()):
            raise ConfigError("go together", field=", ".join(files))
        if not self.tls and not is_loopback(self.host):
            raise ConfigError(
                "plaintext is for loopback only",
                field="--host",
                value=self.host,
                remedy="Give --tls_cert, --tls_key and --tls_ca",
            )

        if not self.broker.host and not is_loopback(self.host):
            raise ConfigError(
                "the server's own broker asks nobody who they are: it is for loopback only",
                field="--broker.host",
                remedy="Name a broker with TLS and passwords",
            )

    @property
    def tls(self) -> bool:
        return bool(self.tls_cert)

    @property
    def state(self) -> ServerState:
        return (
            ServerState(Path(self.state_dir)) if self.state_dir else ServerState.default(self.fleet)
        )

    @property
    def address(self) -> str:
        """Of the Fleet service."""
        return f"{self.host}:{self.port}"

    @property
    def superlink_address(self) -> str:
        """Of the Fleet API of the SuperLink."""
        return f"{self.host}:{self.superlink_port}"

    @property
    def broker_address(self) -> tuple[str, int]:
        """(host, port) of the fleet's broker, be it ours or another."""
        return self.broker.host or self.host, self.broker.port

    @property
    def control_address(self) -> str:
        return f"127.0.0.1:{self.control_port}"


def check_port(flag: str, port: int) -> None:
    """Raises: ConfigError."""
    if not 0 < port < 65536:
        raise ConfigError("isn't a port", field=flag, value=port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
