"""How the updates of a round become one, as an operator asks for it.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.proto.fleet_pb2 import Aggregation
from robots.errors import ConfigError

FEDAVG, FEDAVGM, FEDADAM, FEDYOGI, FEDADAGRAD, MEDIAN, TRIMMED_MEAN, KRUM = (
    "fedavg",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "median",
    "trimmed-mean",
    "krum",
)
STRATEGIES = (FEDAVG, FEDAVGM, FEDADAM, FEDYOGI, FEDADAGRAD, MEDIAN, TRIMMED_MEAN, KRUM)
OPTIMISERS = (FEDAVGM, FEDADAM, FEDYOGI, FEDADAGRAD)
"""Strategies that take the mean for a gradient and keep a state from round to round."""

REJECT, CLIP = "reject", "clip"

_BOUNDS: dict[str, tuple[float, float]] = {
    "staleness_exponent": (0.0, 10.0),
    "server_learning_rate": (1e-6, 100.0),
    "server_momentum": (0.0, 0.999),
    "eta": (1e-8, 10.0),
    "beta_1": (0.0, 0.999),
    "beta_2": (0.0, 0.99999),
    "tau": (1e-10, 1.0),
    "beta": (0.001, 0.499),
    "num_malicious_nodes": (0, 1000),
    "num_nodes_to_select": (1, 1000),
}
_COUNTS = ("num_malicious_nodes", "num_nodes_to_select")

_STALENESS = {"staleness_exponent": 0.5}
# A weight moves by about eta / tau times the mean change while that is small beside tau, and by
# about eta at most. Flower's defaults (0.1 and 1e-3) make it a hundred times the mean change: far
# too much for a pretrained expert. With eta = tau small changes pass as they are.
_STEP = _STALENESS | {"eta": 1e-3, "tau": 1e-3}
_DEFAULTS: dict[str, dict[str, float]] = {
    FEDAVG: _STALENESS,
    FEDAVGM: _STALENESS | {"server_learning_rate": 1.0, "server_momentum": 0.9},
    FEDADAM: _STEP | {"beta_1": 0.9, "beta_2": 0.99},
    FEDYOGI: _STEP | {"beta_1": 0.9, "beta_2": 0.99},
    FEDADAGRAD: _STEP,
    MEDIAN: {},
    TRIMMED_MEAN: {"beta": 0.2},
    KRUM: _STALENESS | {"num_malicious_nodes": 1, "num_nodes_to_select": 1},
}
"""The parameters that a strategy has, by Flower's names, and what they are if nothing is said."""


@dataclass(frozen=True, kw_only=True)
class AggregateConfig:
    """How the updates of a round become one.

    Raises:
        ConfigError: a value of the wrong type, beyond its bounds or without effect.
    """

    # fedavg, fedavgm, fedadam, fedyogi, fedadagrad, median, trimmed-mean or krum.
    strategy: str = FEDAVG
    # Of the strategy, by Flower's names: {server_momentum: 0.9}. Those left out have defaults.
    parameters: dict[str, float] = field(default_factory=dict)
    # Longest update, relative to the length of the weights that it started from; 0: any.
    max_norm: float = 0.0
    # What becomes of a longer one: reject, or clip (shortened to the longest).
    too_long: str = REJECT
    # Differential privacy: standard deviation of the noise in units of the clipping norm; 0: none.
    dp_noise: float = 0.0
    # L2 norm to which each update is clipped before noise is added; 0: no differential privacy.
    dp_clip: float = 0.0

    def __post_init__(self) -> None:
        _one_of("strategy", self.strategy, STRATEGIES)
        _one_of("too_long", self.too_long, (REJECT, CLIP))
        known = _DEFAULTS[self.strategy]
        if not isinstance(self.parameters, dict):
            raise ConfigError("must be a mapping", field=_flag("parameters"), value=self.parameters)
        for name, value in self.parameters.items():
            if name not in known:
                raise ConfigError(
                    f"isn't a parameter of {self.strategy}",
                    field=_flag("parameters"),
                    value=name,
                    remedy=f"It has: {', '.join(known) or 'none'}",
                )
            _number(f"parameters.{name}", value, *_BOUNDS[name], whole=name in _COUNTS)
        for name, high in (("max_norm", 1e6), ("dp_noise", 1e3), ("dp_clip", 1e6)):
            _number(name, getattr(self, name), 0.0, high)
        if self.dp_noise and not self.dp_clip:
            raise ConfigError(
                "needs a norm to clip to",
                field=_flag("dp_noise"),
                remedy="Give --aggregation.dp_clip",
            )
        if self.private and self.strategy in (MEDIAN, TRIMMED_MEAN, KRUM):
            raise ConfigError(
                f"{self.strategy} has no bound on how much one robot moves the result",
                field=_flag("dp_clip"),
                value=self.dp_clip,
                remedy=f"One of: {', '.join((FEDAVG, *OPTIMISERS))}",
            )

    def parameter(self, name: str) -> float:
        """A parameter of the strategy as given, or its default."""
        return float(self.parameters.get(name, _DEFAULTS[self.strategy][name]))

    def count(self, name: str) -> int:
        """A parameter that is a count."""
        return round(self.parameter(name))

    @property
    def private(self) -> bool:
        """Whether updates are clipped to ``dp_clip`` and weigh the same."""
        return self.dp_clip > 0

    @property
    def counts_heads(self) -> bool:
        """Whether a robot counts once, whatever it sends."""
        return self.private or self.strategy in (MEDIAN, TRIMMED_MEAN, KRUM)

    @property
    def fewest(self) -> int:
        """Fewest updates with which the strategy gives what it promises."""
        if self.strategy == KRUM:
            # Blanchard et al.: n ≥ 2f + 3.
            return 2 * self.count("num_malicious_nodes") + 3
        if self.strategy == TRIMMED_MEAN:
            # So that at least one is cut off at each end.
            return math.ceil(1 / self.parameter("beta"))
        return 3 if self.strategy == MEDIAN else 1

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AggregateConfig":
        """Of what was stored or received; a field left out has its default.

        Raises:
            ConfigError: a field is unknown, of the wrong type or beyond its bounds.
        """
        unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError("isn't known", field=_flag(unknown[0]))
        return cls(**values)

    def to_message(self) -> Aggregation:
        return Aggregation(
            strategy=self.strategy,
            parameters_json=json.dumps(self.parameters, sort_keys=True),
            max_norm=self.max_norm,
            too_long=self.too_long,
            dp_noise=self.dp_noise,
            dp_clip=self.dp_clip,
        )

    @classmethod
    def from_message(cls, message: Aggregation) -> "AggregateConfig":
        """Of what an operator's client sent; what is empty has its default.

        Raises:
            ConfigError: a value of the wrong type or beyond its bounds.
        """
        try:
            parameters = json.loads(message.parameters_json or "{}")
        except ValueError as error:
            raise ConfigError(
                "isn't JSON", field=_flag("parameters"), value=message.parameters_json[:100]
            ) from error
        return cls(
            strategy=message.strategy or FEDAVG,
            parameters=parameters,
            max_norm=message.max_norm,
            too_long=message.too_long or REJECT,
            dp_noise=message.dp_noise,
            dp_clip=message.dp_clip,
        )


def _flag(name: str) -> str:
    return f"--aggregation.{name}"


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(
            "isn't known", field=_flag(name), value=value, remedy=f"One of: {', '.join(known)}"
        )


def _number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError("must be a number", field=_flag(name), value=value)
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"must be from {low:g} to {high:g}", field=_flag(name), value=value)
    if whole and value != int(value):
        raise ConfigError("must be a whole number", field=_flag(name), value=value)
