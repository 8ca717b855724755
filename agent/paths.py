"""Where an agent keeps its state, and where its control socket is."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class StateDir:
    """The folder that one agent owns; every path in it is derived here and nowhere else."""

    root: Path

    @classmethod
    def default(cls, robot: str) -> StateDir:
        """``~/.local/state/armada/<robot>`` or what the platform uses instead."""
        return cls(Path(platformdirs.user_state_dir("armada")) / robot)

    @property
    def lock(self) -> Path:
        return self.root / "agent.lock"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def release_keys(self) -> Path:
        """Whose releases this robot takes, when its owner didn't say."""
        return self.root / "release.keys"

    @property
    def release_ledger(self) -> Path:
        """The newest release that was met, and the one that the robot is pinned to."""
        return self.models / "fleet.json"

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def default_dataset(self) -> Path:
        return self.datasets / "default"

    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def jobs(self) -> Path:
        """What the fleet's server ordered, until the server has what came of it."""
        return self.training / "jobs"

    @property
    def flower(self) -> Path:
        """FLWR_HOME of the SuperNode, and how its executor reaches it."""
        return self.training / "flower"

    @property
    def node_key(self) -> Path:
        """Who this robot is to the SuperLink; it never leaves."""
        return self.root / "node.key"

    @property
    def residual(self) -> Path:
        """What updates lost by rounding, which the next one makes up for."""
        return self.training / "residual"

    @property
    def processors(self) -> Path:
        """The normaliser that this robot froze at its first training; it never travels."""
        return self.training / "processors"

    @property
    def probation(self) -> Path:
        """Which release is on probation; whoever takes it writes it."""
        return self.root / "probation.json"

    @property
    def probation_progress(self) -> Path:
        """How far that has come; the supervisor writes it."""
        return self.root / "probation_progress.json"

    @property
    def runtime(self) -> Path:
        """Short-lived files: where the agent that runs, or ran last, says that it has them. A
        service and an operator's shell differ in what they would choose themselves."""
        try:
            return self.runtime_link.readlink()
        except OSError:
            return self.own_runtime

    @property
    def runtime_link(self) -> Path:
        return self.root / "runtime"

    @property
    def own_runtime(self) -> Path:
        """Where an agent that starts here and now has its runtime folder. Sockets: the path of a
        Unix socket has 107 bytes at most (macOS 103), and state folders may be deeper than that,
        hence a folder named by a digest."""
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        digest = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:16]
        return base / f"armada-{os.getuid()}" / digest

    @property
    def control_socket(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def stop_file(self) -> Path:
        """``touch`` it to stop the arm."""
        return self.runtime / "stop"

    @property
    def home(self) -> Path:
        """The pose at start, JSON, for a control process that finds the arm holding itself up."""
        return self.root / "home.json"

    @property
    def latched_stop(self) -> Path:
        """Why the arm is stopped, over restarts; the supervisor keeps it."""
        return self.root / "stopped"

    @property
    def shared_memory(self) -> Path:
        """A folder in memory where there is one, so that frames never wait for a disk."""
        shm = Path("/dev/shm")
        base = shm if shm.is_dir() and os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
        return base / f"armada-{os.getuid()}" / self.own_runtime.name

    def create(self) -> None:
        """Make the folders; those that hold sockets and frames are for this user only."""
        for folder in (self.root, self.logs, self.models, self.datasets, self.training):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.own_runtime, self.shared_memory):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
