"""What an operator may ask of the aggregation."""

from __future__ import annotations

from typing import Any

import draccus
import pytest

from agent.proto.fleet_pb2 import Aggregation
from robots.errors import ConfigError
from server.aggregation.config import STRATEGIES, AggregateConfig

FULL = AggregateConfig(
    strategy="fedadam",
    parameters={"eta": 0.01},
    max_norm=0.1,
    too_long="clip",
    dp_noise=1.0,
    dp_clip=0.5,
)


def test_nothing_said_is_the_mean() -> None:
    assert AggregateConfig().strategy == "fedavg"
    assert AggregateConfig.from_message(Aggregation()) == AggregateConfig()


@pytest.mark.parametrize("config", [AggregateConfig(), FULL])
def test_it_survives_messages_and_files(config: AggregateConfig) -> None:
    assert AggregateConfig.from_message(config.to_message()) == config
    assert AggregateConfig.from_dict(config.to_dict()) == config


def test_flags() -> None:
    config = draccus.parse(
        AggregateConfig, args=["--strategy=trimmed-mean", "--parameters={beta: 0.3}"]
    )
    assert config.parameter("beta") == 0.3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_stands_without_parameters(strategy: str) -> None:
    assert AggregateConfig(strategy=strategy).fewest >= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategy": "bulyan"}, "--aggregation.strategy=bulyan: isn't known. One of: fedavg,"),
        ({"too_long": "drop"}, "--aggregation.too_long=drop: isn't known. One of: reject, clip"),
        ({"max_norm": -1.0}, "--aggregation.max_norm=-1.0: must be from 0"),
        ({"max_norm": float("nan")}, "must be from 0"),
        ({"max_norm": "1"}, "must be a number"),
        ({"parameters": {"eta": 0.1}}, "isn't a parameter of fedavg. It has: staleness_exponent"),
        ({"parameters": [1]}, "must be a mapping"),
        (
            {"strategy": "fedadam", "parameters": {"beta_1": 1.0}},
            "--aggregation.parameters.beta_1=1.0: must be from 0 to 0.999",
        ),
        (
            {"strategy": "krum", "parameters": {"num_malicious_nodes": 1.5}},
            "must be a whole number",
        ),
        (
            {"strategy": "krum", "parameters": {"num_malicious_nodes": float("inf")}},
            "must be from 0 to 1000",
        ),
        ({"strategy": "median", "parameters": {"beta": 0.1}}, "It has: none"),
        ({"dp_noise": 1.0}, "needs a norm to clip to. Give --aggregation.dp_clip"),
        ({"strategy": "krum", "dp_clip": 1.0}, "no bound on how much one robot moves"),
    ],
)
def test_what_is_refused_says_why(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        AggregateConfig(**values)
    assert message in str(error.value)


def test_what_a_message_holds_is_checked() -> None:
    with pytest.raises(ConfigError, match="isn't JSON"):
        AggregateConfig.from_message(Aggregation(parameters_json="{"))
    with pytest.raises(ConfigError, match="must be a mapping"):
        AggregateConfig.from_message(Aggregation(parameters_json="[]"))
    with pytest.raises(ConfigError, match="isn't known"):
        AggregateConfig.from_dict({"strategie": "median"})


@pytest.mark.parametrize(
    ("strategy", "parameters", "fewest"),
    [
        ("fedavg", {}, 1),
        ("median", {}, 3),
        ("trimmed-mean", {}, 5),
        ("trimmed-mean", {"beta": 0.25}, 4),
        ("krum", {}, 5),
        ("krum", {"num_malicious_nodes": 2}, 7),
    ],
)
def test_how_many_updates_a_promise_needs(
    strategy: str, parameters: dict[str, float], fewest: int
) -> None:
    assert AggregateConfig(strategy=strategy, parameters=parameters).fewest == fewest
