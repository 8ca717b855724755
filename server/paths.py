"""Where the server keeps its state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class ServerState:
    """The folder that one server owns; every path in it is derived here and nowhere else."""

    root: Path

    @classmethod
    def default(cls, fleet: str) -> ServerState:
        """``~/.local/state/armada-server/<fleet>`` or what the platform uses instead."""
        return cls(Path(platformdirs.user_state_dir("armada-server")) / fleet)

    @property
    def lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def ready(self) -> Path:
        """Addresses and pids, for whoever waits for the server to be up."""
        return self.root / "server.json"

    @property
    def config(self) -> Path:
        return self.root / "server.yaml"

    @property
    def fleet(self) -> Path:
        """Written by the fleet service once it answers."""
        return self.root / "fleet.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def rounds(self) -> Path:
        return self.root / "rounds"

    @property
    def registered(self) -> Path:
        """Names and public keys of the robots that may join."""
        return self.root / "registered.json"

    @property
    def node_names(self) -> Path:
        """Names by Flower's node id, as the fleet service found them."""
        return self.root / "node_names.json"

    @property
    def robot_tokens(self) -> Path:
        return self.root / "robot_tokens.json"

    @property
    def operator_tokens(self) -> Path:
        return self.root / "operator_tokens.json"

    @property
    def robots(self) -> Path:
        """What robots last said of themselves, and what they decided."""
        return self.root / "robots"

    @property
    def schedules(self) -> Path:
        return self.root / "schedules"

    @property
    def flower(self) -> Path:
        """FLWR_HOME of the SuperLink, the SuperExec and the ServerApp."""
        return self.root / "flower"

    @property
    def database(self) -> Path:
        return self.flower / "state.db"

    @property
    def secret(self) -> Path:
        """Shared by the SuperLink and its SuperExec."""
        return self.flower / "superexec.secret"

    def create(self) -> None:
        for folder in (self.root, self.logs, self.releases, self.rounds, self.flower):
            folder.mkdir(parents=True, exist_ok=True)
        self.flower.chmod(0o700)
