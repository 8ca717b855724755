"""One out of many, whoever came first and however often it is done."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent.federation.payload.spec import ENCODINGS
from agent.policy import weights
from robots.errors import FederationError
from server.aggregation.aggregate import aggregate
from server.aggregation.config import STRATEGIES, AggregateConfig
from server.aggregation.stored import StoredUpdate
from tests.server.aggregation.conftest import Store, largest_difference, noise, plus


@pytest.fixture
def updates(store: Store) -> list[StoredUpdate]:
    return [store(f"robot{i}", noise(i, 0.1), samples=10 + i) for i in range(6)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_arrival_does_not_count(
    strategy: str, updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy=strategy)
    one = aggregate(config, start, updates, tmp_path / "one", 0)
    other = aggregate(config, start, updates[::-1], tmp_path / "other", 0)
    assert weights.digest(one.tensors) == weights.digest(other.tensors)
    assert one.metrics == other.metrics
    assert [u.robot for u in one.used] == sorted(u.robot for u in one.used)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_round_that_is_aggregated_again_gives_the_same(
    strategy: str, updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy=strategy)
    first = aggregate(config, start, updates, tmp_path / "state", 0)
    second = aggregate(config, first.tensors, updates, tmp_path / "state", 0)
    again = aggregate(config, first.tensors, updates, tmp_path / "state", 0)
    assert weights.digest(again.tensors) == weights.digest(second.tensors)
    assert again.metrics == second.metrics


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_mean_is_weighted_by_samples(
    encoding: str, store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    one, other = noise(1, 0.1), noise(2, 0.1)
    updates = [
        store("robot1", one, samples=300, encoding=encoding),
        store("robot2", other, samples=100, encoding=encoding),
    ]
    result = aggregate(AggregateConfig(), start, updates, tmp_path / "state", 0)
    mean = {name: start[name] + 0.75 * one[name] + 0.25 * other[name] for name in start}
    assert largest_difference(result.tensors, mean) < (1e-6 if encoding == "fp32" else 2e-3)
    assert result.metrics["updates"] == 2
    assert result.metrics["samples"] == 400
    assert result.metrics["change-norm"] == pytest.approx(
        math.sqrt(sum(float(((mean[n] - start[n]) ** 2).sum()) for n in mean)), rel=0.01
    )


def test_a_late_update_counts_less(store: Store, start: dict[str, Tensor], tmp_path: Path) -> None:
    earlier = noise(60)
    file = tmp_path / "earlier.safetensors"
    weights.save(file, earlier)
    late, own = noise(1, 0.1), noise(2, 0.1)
    updates = [
        store("robot1", late, begin=earlier, start_file=file, staleness=3, job="0"),
        store("robot1", own),
    ]
    config = AggregateConfig(parameters={"staleness_exponent": 1.0})
    result = aggregate(config, start, updates, tmp_path / "state", 0)
    mean = {name: start[name] + 0.2 * late[name] + 0.8 * own[name] for name in start}
    assert largest_difference(result.tensors, mean) < 1e-6
    assert result.metrics["late"] == 1


def test_where_heads_are_counted_a_robot_counts_once(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    late = store("robot1", noise(9), staleness=1, job="0")
    updates = [late, *(store(f"robot{i}", noise(i, 0.1)) for i in range(1, 4))]
    for config in (AggregateConfig(strategy="median"), AggregateConfig(dp_clip=1.0)):
        result = aggregate(config, start, updates, tmp_path / "state", 0)
        assert [r.update for r in result.refused] == [late]
        assert "newer" in result.refused[0].reason
        assert len(result.used) == 3


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("median", "median needs updates of 3 robots and has 2"),
        ("trimmed-mean", "trimmed-mean needs updates of 5 robots and has 2"),
        ("krum", "krum needs updates of 5 robots and has 2"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_an_error(
    strategy: str,
    message: str,
    updates: list[StoredUpdate],
    start: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    with pytest.raises(FederationError, match=message):
        aggregate(AggregateConfig(strategy=strategy), start, updates[:2], tmp_path, 0)


def test_fewer_robots_than_were_asked_for_are_an_error(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    long = store("robot1", noise(1, 10.0))
    updates = [long, *(store(f"robot{i}", noise(i, 0.01)) for i in range(2, 4))]
    late = store("robot2", noise(5, 0.01), staleness=1, job="0")
    config = AggregateConfig(max_norm=0.5)
    assert len(aggregate(config, start, updates, tmp_path, 0, min_robots=2).used) == 2
    with pytest.raises(FederationError, match=r"3 robots and has 2 \(robot1: its change is"):
        aggregate(config, start, [*updates, late], tmp_path, 0, min_robots=3)


def test_no_update_is_an_error(start: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="fedavg needs updates of 1 robots and has 0"):
        aggregate(AggregateConfig(), start, [], tmp_path, 0)


def test_a_result_beyond_fp32_is_an_error(store: Store, tmp_path: Path) -> None:
    start = {"expert.a": torch.full((3,), 3e38)}
    update = store("robot1", {"expert.a": torch.full((3,), 3e37)}, begin=start)
    config = AggregateConfig(
        strategy="fedavgm", parameters={"server_learning_rate": 10.0, "server_momentum": 0.0}
    )
    with pytest.raises(FederationError, match=r"expert\.a.*not finite"):
        aggregate(config, start, [update], tmp_path / "state", 0)


def test_many_robots_that_agree_change_nothing(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    """A hundred shares of 1/100 add up to the one change, to the last bit of fp32."""
    change = noise(1, 0.1)
    updates = [store(f"robot{i:03d}", change, samples=7) for i in range(100)]
    result = aggregate(AggregateConfig(), start, updates, tmp_path / "state", 0)
    assert largest_difference(result.tensors, plus(start, change)) < 1e-7
