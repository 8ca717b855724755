"""Flags of ``armada models …`` and ``armada evaluate``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from pathlib import Path

from agent.config import PolicyRef
from agent.paths import StateDir
from agent.policy.engines.config import EngineConfig


@dataclass(kw_only=True)
class StoreConfig:
    """Which robot's models."""

    # Name of the robot, as in `armada run --name` or `--robot.id`.
    name: str = "robot"
    # Where `armada run` keeps its state; empty: the user's state folder.
    state_dir: str = ""
    # Print JSON instead of a table.
    json: bool = False

    @property
    def state(self) -> StateDir:
        return StateDir(Path(self.state_dir)) if self.state_dir else StateDir.default(self.name)


@dataclass(kw_only=True)
class ServerConfig(StoreConfig):
    """Which server."""

    # The fleet's server, host:port; empty: that of the last `armada run`.
    server: str = ""
    # CA certificate of the server, a PEM file; empty: that of the last `armada run`, or plaintext,
    # on loopback only.
    root_certificates: str = ""


@dataclass(kw_only=True)
class ListConfig(ServerConfig):
    """The robot's models, or with --server the releases that the server has."""


@dataclass(kw_only=True)
class ShowConfig(ServerConfig):
    """One model: where it came from, and whether its files are what was added. With --server a
    release: what its manifest says, and what its signature is worth."""

    # current, previous, candidate, base, a release's number, or the beginning of a digest.
    model: str = "current"


@dataclass(kw_only=True)
class DiffConfig(StoreConfig):
    """In what two models differ: tensors, configuration, processors."""

    # previous, current, candidate, base, a release's number, or the beginning of a digest.
    one: str = "previous"
    other: str = "current"


@dataclass(kw_only=True)
class PinConfig(StoreConfig):
    """Stay on a model: releases are left alone until `armada models unpin`."""

    # current, previous, candidate, base, a release's number, or the beginning of a digest.
    model: str = "current"
    # Why, for whoever wonders.
    reason: str = "the operator's order"


@dataclass(kw_only=True)
class UnpinConfig(StoreConfig):
    """Take releases again."""


@dataclass(kw_only=True)
class TrustConfig(StoreConfig):
    """Whose releases this robot takes; with a key: that one's as well."""

    # Public key, base64, as `armada server` shows it.
    key: str = ""


@dataclass(kw_only=True)
class PromoteConfig(StoreConfig):
    """Make a model current; a running agent swaps to it at the next chunk, and a release is on
    probation then."""

    # candidate, previous, or the beginning of a digest.
    model: str = ""
    # Why, for the history.
    reason: str = "the operator's order"


@dataclass(kw_only=True)
class RollbackConfig(StoreConfig):
    """Make the previous model current; a running agent swaps to it at the next chunk."""

    # Why, for the history.
    reason: str = "the operator's order"


@dataclass(kw_only=True)
class ExportConfig(ServerConfig):
    """Write a model as a plain LeRobot folder: `lerobot-rollout --policy.path=OUT` loads it."""

    # The folder to make.
    out: str = ""
    # current, previous, candidate, base, a release's number, or the beginning of a digest.
    model: str = "current"
    # Instead: a release of the server; the robot's models stay as they are.
    release: int = 0


@dataclass(kw_only=True)
class PullConfig(ServerConfig):
    """Take a release from the fleet's server: fetch, verify, compare, promote or refuse."""

    # Which release; 0: the latest.
    version: int = 0
    # Instead: the policy that the fleet starts from, for a robot that has none.
    base: bool = False
    # Data set whose held-out episodes decide; empty: that of the last `armada run`.
    dataset: str = ""


@dataclass(kw_only=True)
class InitConfig:
    """Build a SmolVLA with random weights."""

    # The folder to make.
    out: str = ""
    # tiny: some 200,000 parameters, for tries and tests; full: 450 million.
    size: str = "tiny"
    # Data set that cameras, names and statistics are taken from.
    dataset: str = ""
    # Without a data set: camera key to [height, width].
    cameras: dict[str, list[int]] = field(default_factory=lambda: {"wrist": [480, 640]})
    seed: int = 0


@dataclass(kw_only=True)
class EvaluateConfig:
    """Open-loop action error of a policy on recorded episodes."""

    policy: PolicyRef = field(default_factory=PolicyRef)
    # Folder or hub id of a data set.
    dataset: str = ""
    # Which episodes: `0,2,5-7`, `heldout` (those that training leaves out), or empty: all.
    episodes: str = ""
    # `heldout` counts also episodes that the quality gate doesn't let pass, as a robot's
    # `--training.unclean` does. With `--episodes=heldout` alone.
    unclean: bool = False
    # Folder of processors to use instead of the policy's.
    processors: str = ""
    # Keys of the data set to keys of the policy.
    rename_map: dict[str, str] = field(default_factory=dict)
    # cuda, mps or cpu; empty: the policy's own or the best there is.
    device: str = ""
    # Threads of torch; 0: torch decides.
    threads: int = 0
    inference: EngineConfig = field(default_factory=EngineConfig)
    # Beside it, what plain torch with the policy's own number of denoising steps computes: the
    # price of a faster engine, of a coarser precision, of fewer steps.
    compare: bool = False
    # Of the policy's noise.
    seed: int = 0
    # Print JSON instead of a table.
    json: bool = False
