"""What Flower's own strategies make of the same replies, all of them at once in memory."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)
from torch import Tensor

from agent.training.arrays import from_record, to_record
from server.aggregation.aggregate import aggregate
from server.aggregation.config import AggregateConfig
from tests.server.aggregation.conftest import Store, largest_difference, noise, plus

ROBOTS = {f"robot{i}": 40 + 13 * i for i in range(7)}
"""Names and samples."""

ROUNDING = 2e-6
"""Of fp32, at numbers of about 1 to 4."""


def reply(tensors: Mapping[str, Tensor], samples: int) -> Message:
    metadata = Metadata(1, "", 1, 1, "", "", 0.0, 1.0, "train")
    content = RecordDict(
        {"arrays": to_record(tensors), "metrics": MetricRecord({"num-examples": samples})}
    )
    return Message(content=content, metadata=metadata)


def both(
    config: AggregateConfig,
    strategy: Any,
    start: dict[str, Tensor],
    store: Store,
    state: Path,
    rounds: int = 1,
) -> float:
    """The largest difference after some rounds in which the robots give both the same."""
    ours, flowers = start, start
    worst = 0.0
    for server_round in range(1, rounds + 1):
        changes = {r: noise(10 * server_round + i, 0.3) for i, r in enumerate(ROBOTS)}
        updates = [
            store(r, changes[r], begin=ours, job=f"{server_round:03d}", samples=samples)
            for r, samples in ROBOTS.items()
        ]
        ours = aggregate(config, ours, updates, state, 0).tensors
        arrays = to_record(flowers)
        if isinstance(strategy, FedAvgM):
            strategy.current_arrays = strategy.current_arrays or arrays
        elif isinstance(strategy, DifferentialPrivacyServerSideFixedClipping):
            strategy.current_arrays = arrays
        else:
            strategy.current_arrays = {k: v.numpy() for k, v in arrays.items()}
        replies = [reply(plus(flowers, changes[r]), n) for r, n in ROBOTS.items()]
        aggregated: tuple[ArrayRecord, Any] = strategy.aggregate_train(server_round, replies)
        flowers = {k: v.float() for k, v in from_record(aggregated[0]).items()}
        worst = max(worst, largest_difference(ours, flowers))
    assert largest_difference(ours, start) > 1e-4
    return worst


def test_the_release_that_is_compared_with() -> None:
    """``server/aggregation/flower_maths.py`` holds attributes and helpers of this release."""
    assert version("flwr") == "1.39.0"


MOMENTS = {"eta": 0.05, "beta_1": 0.8, "beta_2": 0.9, "tau": 0.01}
STEP = {"eta": 0.05, "tau": 0.01}


@pytest.mark.parametrize(
    ("name", "parameters", "strategy", "rounds"),
    [
        ("fedavg", {}, FedAvg(), 2),
        (
            "fedavgm",
            {"server_learning_rate": 0.7, "server_momentum": 0.9},
            FedAvgM(server_learning_rate=0.7, server_momentum=0.9),
            4,
        ),
        (
            "fedavgm",
            {"server_learning_rate": 0.7, "server_momentum": 0.0},
            FedAvgM(server_learning_rate=0.7),
            2,
        ),
        ("fedadam", MOMENTS, FedAdam(**MOMENTS), 4),
        ("fedyogi", MOMENTS, FedYogi(**MOMENTS), 4),
        ("fedadagrad", STEP, FedAdagrad(**STEP), 4),
        ("median", {}, FedMedian(), 2),
        ("trimmed-mean", {"beta": 0.3}, FedTrimmedAvg(beta=0.3), 2),
        ("krum", {"num_malicious_nodes": 2}, Krum(num_malicious_nodes=2), 2),
        (
            "krum",
            {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
            MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3),
            2,
        ),
    ],
)
def test_the_same_as_flower_to_rounding(
    name: str,
    parameters: dict[str, float],
    strategy: FedAvg,
    rounds: int,
    start: dict[str, Tensor],
    store: Store,
    tmp_path: Path,
) -> None:
    config = AggregateConfig(strategy=name, parameters=parameters)
    assert both(config, strategy, start, store, tmp_path / "state", rounds) < ROUNDING


def equal_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for robot in ROBOTS:
        monkeypatch.setitem(ROBOTS, robot, 50)


def test_private_clipping_is_that_of_flowers_wrapper(
    start: dict[str, Tensor], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equal_samples(monkeypatch)
    wrapper = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.0, 0.5, len(ROBOTS))
    config = AggregateConfig(dp_clip=0.5)
    # Flower's helpers work in place, which leaves a number without dimension as it was.
    del start["expert.d"]
    assert both(config, wrapper, start, store, tmp_path / "state", 2) < ROUNDING


def test_private_noise_is_as_wide_as_that_of_flowers_wrapper(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equal_samples(monkeypatch)
    zeros = {"expert.a": torch.zeros(200, 200)}
    updates = [store(r, zeros, begin=zeros, samples=50) for r in ROBOTS]
    config = AggregateConfig(dp_clip=0.5, dp_noise=2.0)
    ours = aggregate(config, zeros, updates, tmp_path / "state", 0).tensors["expert.a"]
    wrapper = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 2.0, 0.5, len(ROBOTS))
    tiny = {"expert.a": torch.full((200, 200), 1e-12)}
    wrapper.current_arrays = to_record(zeros)
    np.random.seed(0)
    arrays, _ = wrapper.aggregate_train(1, [reply(tiny, 50) for _ in ROBOTS])
    flowers = from_record(arrays)["expert.a"]
    assert float(ours.std()) == pytest.approx(2.0 * 0.5 / 7, rel=0.02)
    assert float(flowers.std()) == pytest.approx(float(ours.std()), rel=0.02)
