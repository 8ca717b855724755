"""What the link is told by the supervisor."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from robots.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """One robot's line to its fleet.

    Args:
        robot, fleet: Names.
        host, port: Of the broker.
        username, password_env: Credentials; the password is in that environment variable.
        tls_ca: CA of the broker's certificate; empty: plaintext.
        control_socket: Where control listens.
        state_dir: The agent's.
        dataset_root: The robot's episodes, for comparing releases.
        unclean: Whether it trains on what the quality gate didn't let pass, too.
        server: The fleet's server, host:port; empty: the one that a release notice names.
        root_certificates: CA of the server's certificate.
        keepalive_s: After 1.5 times this without a word the broker says that we are offline.
        release_command: What pulls a release, for those who replace it; gets the flags of
            ``python -m agent.releases``.
    """

    robot: str
    fleet: str
    host: str
    port: int
    control_socket: str
    state_dir: str
    dataset_root: str
    unclean: bool = False
    username: str = ""
    password_env: str = ""
    tls_ca: str = ""
    server: str = ""
    root_certificates: str = ""
    keepalive_s: int = 5
    release_command: tuple[str, ...] = (sys.executable, "-m", "agent.releases")

    def __post_init__(self) -> None:
        if self.keepalive_s < 1:
            raise ConfigError("must be at least 1", field="keepalive_s", value=self.keepalive_s)
        if self.password_env and self.password_env not in os.environ:
            raise ConfigError(
                "there is no such environment variable",
                field="--broker.password_env",
                value=self.password_env,
            )
        if self.tls_ca and not Path(self.tls_ca).is_file():
            raise ConfigError("isn't a file", field="--broker.tls_ca", value=self.tls_ca)

    @property
    def password(self) -> str | None:
        return os.environ[self.password_env] if self.password_env else None

    @property
    def state(self) -> Path:
        return Path(self.state_dir)
