"""What a round may ask of a robot, within bounds that the robot checks itself.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robots.errors import ConfigError

_BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, 100_000),
    "batch_size": (1, 256),
    # Above 0.1 AdamW destroys a pretrained expert within a step; nobody means it.
    "lr": (0.0, 0.1),
    "seed": (0, 2**31 - 1),
    "proximal_mu": (0.0, 100.0),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a robot trains in one round.

    Raises:
        ConfigError: a value of the wrong type or beyond its bounds.
    """

    # Optimiser steps.
    steps: int = 100
    # Frames a step.
    batch_size: int = 8
    # Learning rate; 0: that of the policy's own preset.
    lr: float = 0.0
    # Order of the frames and the noise of flow matching; on a CPU the result repeats bit for bit.
    seed: int = 0
    # Weight of FedProx's proximal term, which holds a robot near the fleet; 0 is FedAvg.
    proximal_mu: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            flag = f"--train.{field.name}"
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ConfigError(
                    f"must be {'a whole number' if whole else 'a number'}", field=flag, value=value
                )
            low, high = _BOUNDS[field.name]
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"must be from {low:g} to {high:g}", field=flag, value=value)

    def to_dict(self) -> dict[str, int | float]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Of what a message carries; keys that are not fields belong to somebody else.

        Raises:
            ConfigError: a field is missing, of the wrong type or beyond its bounds.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise ConfigError("is missing in the server's message", field=f"train.{missing[0]}")
        return cls(**{name: values[name] for name in names})
