"""What a simulation is asked for: Flower's run configuration, typed and bounded.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.training.config import TrainConfig
from robots.errors import ConfigError

STRATEGIES = (
    "fedavg",
    "fedprox",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "fedmedian",
    "fedtrimmedavg",
    "krum",
)
PRIVACY = ("none", "fixed", "adaptive")
TINY = "tiny"

_BOUNDS: dict[str, tuple[float, float]] = {
    "num_server_rounds": (1, 10_000),
    "fraction_train": (0.0, 1.0),
    "seed": (0, 2**31 - 1),
    "server_lr": (0.0, 10.0),
    "server_momentum": (0.0, 0.9999),
    "server_tau": (1e-12, 1.0),
    "trim": (0.0, 0.499),
    "malicious": (0, 10_000),
    "dp_noise": (0.0, 1e3),
    "dp_clip": (1e-9, 1e9),
}


@dataclass(frozen=True, kw_only=True)
class ShortTrainConfig(TrainConfig):
    """A client's work in a round: few steps, since ten clients share a few cores."""

    # Optimiser steps.
    steps: int = 10


@dataclass(kw_only=True)
class SimulationConfig:
    """Federated rounds among simulated clients.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    num_server_rounds: int = 3
    # fedavg, fedprox, fedavgm, fedadam, fedyogi, fedadagrad, fedmedian, fedtrimmedavg, krum.
    strategy: str = "fedavg"
    # Share of the clients that train in a round; two at least.
    fraction_train: float = 1.0
    # A datasets.yaml; empty: a small one that comes with Armada, made at first use.
    data: str = ""
    # A pretrained_model folder or a hub id; tiny: a SmolVLA of 200,000 random weights.
    policy: str = TINY
    # Where everything goes; empty: a folder of its own.
    output: str = ""
    # Torch device of the clients; empty: the policy's own.
    device: str = ""
    # Of the tiny policy, of the draw of clients and of the noise for privacy.
    seed: int = 0
    # What each client does in a round; train.proximal_mu is FedProx's weight.
    train: ShortTrainConfig = field(default_factory=ShortTrainConfig)
    # Step of the server; 0: 1 for fedavgm, 0.001 for fedadam, fedyogi and fedadagrad.
    server_lr: float = 0.0
    # fedavgm.
    server_momentum: float = 0.9
    # How far from zero fedadam, fedyogi and fedadagrad keep their divisor.
    server_tau: float = 1e-3
    # Share that fedtrimmedavg leaves out at each end.
    trim: float = 0.2
    # How many clients krum takes for hostile.
    malicious: int = 0
    # Differential privacy on the server's side: none, fixed or adaptive clipping.
    dp: str = "none"
    # Its noise multiplier.
    dp_noise: float = 1.0
    # Norm to which an update is clipped; adaptive: at first.
    dp_clip: float = 1.0

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(
                    f"must be from {low:g} to {high:g}", field=f"--{name}", value=value
                )
        for name, known in (("strategy", STRATEGIES), ("dp", PRIVACY)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    "isn't known",
                    field=f"--{name}",
                    value=getattr(self, name),
                    remedy=f"One of: {', '.join(known)}",
                )
        if self.strategy == "fedprox" and not self.train.proximal_mu:
            raise ConfigError(
                "must be above 0 for fedprox; without it that is fedavg",
                field="--train.proximal_mu",
                value=self.train.proximal_mu,
            )
        if self.strategy != "fedprox" and self.train.proximal_mu:
            raise ConfigError(
                "is fedprox's",
                field="--train.proximal_mu",
                value=self.train.proximal_mu,
                remedy="Add strategy=fedprox",
            )

    def to_run_config(self) -> dict[str, bool | float | int | str]:
        """As Flower's run configuration: ``num-server-rounds``, ``train.batch-size``."""
        return dict(_flat(dataclasses.asdict(self)))

    @classmethod
    def from_run_config(cls, values: Mapping[str, Any]) -> "SimulationConfig":
        """Check what Flower hands over; what is missing has its default.

        Raises:
            ConfigError: a key is unknown, or its value of the wrong type or beyond its bounds.
        """
        known = SimulationConfig().to_run_config()
        given: dict[str, Any] = {"train": {}}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise ConfigError(
                    "there is no such key",
                    field=f"run-config {key}",
                    remedy=f"Did you mean {near[0]}?" if near else f"One of: {', '.join(known)}",
                )
            head, _, tail = key.replace("-", "_").rpartition(".")
            (given[head] if head else given)[tail] = _typed(key, value, type(known[key]))
        train = ShortTrainConfig(**given.pop("train"))
        return cls(train=train, **given)


def _typed(key: str, value: Any, wanted: type) -> Any:
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        words = {int: "a whole number", float: "a number", str: "a text in quotes"}
        raise ConfigError(f"must be {words[wanted]}", field=f"run-config {key}", value=value)
    return value


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = before + name.replace("_", "-")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value
