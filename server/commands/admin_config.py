"""Flags of ``armada server certs | robots | operators``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass
from pathlib import Path

from robots.errors import ConfigError
from robots.names import check_name
from server.paths import ServerState


@dataclass(kw_only=True)
class CertsConfig:
    """A certificate authority for the fleet, and the server's certificate."""

    # Folder for ca.crt, ca.key, server.crt and server.key; nothing in it is overwritten.
    folder: str = ""
    # Names and addresses under which robots and operators reach the server, such as
    # fleet.example.org,192.168.1.20; localhost is always one of them.
    hosts: str = ""
    fleet: str = "default"

    def __post_init__(self) -> None:
        check_name("--fleet", self.fleet)
        if not self.folder:
            raise ConfigError(
                "needs a folder",
                field="certs",
                remedy="Use `armada server certs FOLDER --hosts=fleet.example.org`",
            )

    @property
    def names(self) -> list[str]:
        """The hosts, one by one."""
        return [host.strip() for host in self.hosts.split(",") if host.strip()]


@dataclass(kw_only=True)
class AdminConfig:
    """Whose state is changed; run it on the server's host, as the server's user or as root."""

    # add, remove or list.
    verb: str = ""
    # Name of the robot or the operator.
    name: str = ""
    fleet: str = "default"
    # The server's state folder; empty: the user's.
    state_dir: str = ""
    # Print JSON lines instead of text.
    json: bool = False

    def __post_init__(self) -> None:
        check_name("--fleet", self.fleet)
        if self.verb not in ("add", "remove", "list"):
            raise ConfigError("must be add, remove or list", field="verb", value=self.verb or None)
        if (self.verb == "list") == bool(self.name):
            wanted = "takes no name" if self.name else "needs a name"
            raise ConfigError(wanted, field=self.verb, value=self.name or None)

    @property
    def state(self) -> ServerState:
        """Raises: ConfigError for a folder that no server has used."""
        state = ServerState(Path(self.state_dir)) if self.state_dir else None
        state = state or ServerState.default(self.fleet)
        if not state.root.is_dir():
            raise ConfigError(
                "no server has been started here",
                field="--state_dir",
                value=state.root,
                remedy="Start `armada server` once, or name its --state_dir",
            )
        return state


@dataclass(kw_only=True)
class RobotsConfig(AdminConfig):
    """Robots that may join, and their tokens."""

    # The robot's public key, as `armada key` prints it there, or a file that holds it.
    key: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.verb == "add") != bool(self.key):
            wanted = "is needed" if self.verb == "add" else f"says nothing to {self.verb}"
            raise ConfigError(wanted, field="--key", value=self.key or None)

    @property
    def public_key(self) -> str:
        """The line itself.

        Raises:
            ConfigError: a file that can't be read.
        """
        if self.key.startswith("ecdsa-"):
            return self.key
        try:
            return Path(self.key).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"is neither a public key nor a file: {error}", field="--key", value=self.key
            ) from error
