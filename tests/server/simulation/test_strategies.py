"""Flower's own strategies, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.supercore.task_identity import TaskIdentity

from agent.federation.simulation.config import STRATEGIES, ShortTrainConfig, SimulationConfig
from robots.errors import ConfigError
from server.simulation.grid import NamedGrid
from server.simulation.strategies import build_strategy

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

CLIENTS = 5


def config(strategy: str, **more: object) -> SimulationConfig:
    train = ShortTrainConfig(proximal_mu=0.5 if strategy == "fedprox" else 0.0)
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


def replies(asked: list[Message]) -> Iterator[Message]:
    """Each client moved the one tensor by its number, and weighs as much."""
    for i, message in enumerate(asked):
        message.metadata.__dict__["_message_id"] = f"asked-{i}"
        moved = message.content["arrays"]["w"].numpy() + np.float32(i + 1)
        content: dict[str, Any] = {
            "arrays": ArrayRecord({"w": Array(moved)}),
            "metrics": MetricRecord({"num-examples": 10, "loss-last": 1.0}),
        }
        yield Message(content=RecordDict(content), reply_to=message)


@pytest.mark.parametrize("dp", ["none", "fixed", "adaptive"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_each_aggregates_what_clients_send(name: str, dp: str) -> None:
    noise = 0.0 if dp == "none" else 0.1
    strategy = build_strategy(config(name, dp=dp, dp_noise=noise, dp_clip=100.0), CLIENTS)
    names = {i: f"client-{i}" for i in range(CLIENTS)}
    grid = NamedGrid(None, names, on_sent=lambda *_: None, on_reply=lambda *_: None)
    start = ArrayRecord({"w": Array(np.zeros(3, np.float32))})

    asked = list(strategy.configure_train(1, start, ConfigRecord(), grid))
    arrays, metrics = strategy.aggregate_train(1, list(replies(asked)))

    assert len(asked) == CLIENTS
    assert arrays is not None
    assert metrics is not None
    result = arrays["w"].numpy()
    assert result.shape == (3,)
    assert np.isfinite(result).all()
    if name == "fedavg" and dp == "none":
        np.testing.assert_allclose(result, 3.0)


def test_nodes_are_listed_in_order_of_name() -> None:
    grid = NamedGrid(
        None, {7: "b", 3: "c", 9: "a"}, on_sent=lambda *_: None, on_reply=lambda *_: None
    )
    assert list(grid.get_node_ids()) == [9, 7, 3]
