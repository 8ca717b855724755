"""Flower's own strategies, by name."""

from __future__ import annotations

import pytest
from flwr.serverapp import strategy as flower

from agent.federation.simulation.config import STRATEGIES, SimulationConfig
from agent.training.config import TrainConfig
from robots.errors import ConfigError
from server.simulation.strategies import build_strategy


def config(strategy: str, **more: object) -> SimulationConfig:
    train = TrainConfig(proximal_mu=0.5 if strategy == "fedprox" else 0.0)
    return SimulationConfig(strategy=strategy, train=train, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_is_flowers_own(name: str) -> None:
    kind = type(build_strategy(config(name), clients=10))
    assert kind.__name__.lower() == name
    assert kind.__module__.startswith("flwr.serverapp.strategy")


def test_settings_arrive() -> None:
    assert build_strategy(config("fedprox"), 10).proximal_mu == 0.5
    assert build_strategy(config("fedadam"), 10).eta == 1e-3
    assert build_strategy(config("fedadam", server_lr=0.02), 10).eta == 0.02
    momentum = build_strategy(config("fedavgm", server_momentum=0.5), 10)
    assert (momentum.server_learning_rate, momentum.server_momentum) == (1.0, 0.5)
    assert build_strategy(config("fedtrimmedavg", trim=0.1), 10).beta == 0.1


@pytest.mark.parametrize(
    ("dp", "kind"),
    [
        ("fixed", flower.DifferentialPrivacyServerSideFixedClipping),
        ("adaptive", flower.DifferentialPrivacyServerSideAdaptiveClipping),
    ],
)
def test_privacy_wraps_a_strategy(dp: str, kind: type) -> None:
    wrapped = build_strategy(config("fedavg", dp=dp, dp_noise=0.3, dp_clip=2.0), 10)
    assert isinstance(wrapped, kind)
    assert isinstance(wrapped.strategy, flower.FedAvg)


def test_too_few_clients_for_krum_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 hostile clients need 7 that train, there are 6"):
        build_strategy(config("krum", malicious=2), 6)


def test_more_noise_than_adaptive_clipping_can_count_by_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be below 1 for 10 clients"):
        build_strategy(config("fedavg", dp="adaptive", dp_noise=1.0), 10)
