"""What a simulation may be asked for, in Flower's run configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.common.config import flatten_dict

from agent.federation.simulation.config import STRATEGIES, ShortTrainConfig, SimulationConfig
from robots.errors import ConfigError

CLONE = Path(__file__).parents[4]


def test_it_comes_back_from_a_run_config() -> None:
    config = SimulationConfig(
        num_server_rounds=7, strategy="krum", malicious=1, train=ShortTrainConfig(steps=3, lr=0.01)
    )
    assert SimulationConfig.from_run_config(config.to_run_config()) == config


def test_what_is_left_out_has_its_default() -> None:
    assert SimulationConfig.from_run_config({"train.steps": 5}).train == ShortTrainConfig(steps=5)


def test_the_clone_has_the_same_defaults() -> None:
    pyproject = tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))
    assert flatten_dict(pyproject["tool"]["flwr"]["app"]["config"]) == (
        SimulationConfig().to_run_config()
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num-server-round": 3}, "Did you mean num-server-rounds?"),
        ({"num-server-rounds": 2.5}, "run-config num-server-rounds=2.5: must be a whole number"),
        ({"num-server-rounds": 0}, "must be from 1 to 10000"),
        ({"num-server-rounds": True}, "must be a whole number"),
        ({"strategy": "fedsgd"}, "One of: fedavg, fedprox"),
        ({"strategy": 3}, "must be a text"),
        ({"train.steps": 0}, "--train.steps=0: must be from 1"),
        ({"train.step": 5}, "Did you mean train.steps?"),
        ({"strategy": "fedprox"}, "must be above 0 for fedprox"),
        ({"train.proximal-mu": 0.1}, "is fedprox's"),
        ({"fraction-train": 1.5}, "must be from 0 to 1"),
        ({"dp": "some"}, "One of: none, fixed, adaptive"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SimulationConfig.from_run_config(values)
    assert said in str(caught.value)


def test_a_whole_number_is_a_number() -> None:
    assert SimulationConfig.from_run_config({"dp-noise": 1}).dp_noise == 1.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_asked_for(strategy: str) -> None:
    mu = 0.1 if strategy == "fedprox" else 0.0
    config = SimulationConfig(strategy=strategy, train=ShortTrainConfig(proximal_mu=mu))
    assert config.strategy == strategy
