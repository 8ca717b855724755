"""Flags of ``armada key``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.paths import StateDir
from robots.names import check_name


@dataclass(kw_only=True)
class KeyConfig:
    """Whose key to show; the same name and state folder as `armada run` has."""

    # The robot's name in its fleet: --name or --robot.id of `armada run`.
    name: str = "robot"
    # Its state folder; empty: the user's.
    state_dir: str = ""

    def __post_init__(self) -> None:
        check_name("--name", self.name)

    @property
    def state(self) -> StateDir:
        return StateDir(Path(self.state_dir)) if self.state_dir else StateDir.default(self.name)
