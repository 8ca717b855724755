"""Robots that lie: refused, shortened or outvoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from agent.policy import weights
from robots.errors import FederationError
from server.aggregation.aggregate import Aggregate, aggregate
from server.aggregation.config import AggregateConfig
from server.aggregation.seen import SeenUpdates
from server.aggregation.stored import StoredUpdate
from tests.server.aggregation.conftest import Store, largest_difference, length, noise, plus

HONEST = 5


@pytest.fixture
def shared() -> dict[str, Tensor]:
    """What all honest robots learn; each adds a tenth of its own."""
    return noise(1, 0.1)


@pytest.fixture
def fleet(store: Store, shared: dict[str, Tensor]) -> list[StoredUpdate]:
    """Five honest robots, and two that send the opposite, a thousand times as long."""
    honest = [plus(shared, noise(10 + i, 0.01)) for i in range(HONEST)]
    liars = [{n: -1000 * t for n, t in honest[i].items()} for i in range(2)]
    return [store(f"robot{i}", change) for i, change in enumerate([*liars, *honest])]


def off(result: Aggregate, start: dict[str, Tensor], shared: dict[str, Tensor]) -> float:
    """How far the result is from what honest robots learn, by the length of that."""
    want = plus(start, shared)
    return length({n: result.tensors[n] - want[n] for n in want}) / length(shared)


@pytest.mark.parametrize(
    ("strategy", "parameters"),
    [
        ("median", {}),
        ("trimmed-mean", {"beta": 0.3}),
        ("krum", {"num_malicious_nodes": 2}),
        ("krum", {"num_malicious_nodes": 2, "num_nodes_to_select": 4}),
    ],
)
def test_two_of_seven_are_outvoted(
    strategy: str,
    parameters: dict[str, float],
    fleet: list[StoredUpdate],
    start: dict[str, Tensor],
    shared: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    config = AggregateConfig(strategy=strategy, parameters=parameters)
    result = aggregate(config, start, fleet, tmp_path / "state", 0)
    assert off(result, start, shared) < 0.2
    if strategy == "krum":
        assert {u.robot for u in result.used}.isdisjoint({"robot0", "robot1"})


def test_a_mean_without_bound_is_lost(
    fleet: list[StoredUpdate], start: dict[str, Tensor], shared: dict[str, Tensor], tmp_path: Path
) -> None:
    assert off(aggregate(AggregateConfig(), start, fleet, tmp_path, 0), start, shared) > 100


def test_what_is_too_long_is_refused_with_its_reason(
    fleet: list[StoredUpdate], start: dict[str, Tensor], shared: dict[str, Tensor], tmp_path: Path
) -> None:
    result = aggregate(AggregateConfig(max_norm=0.5), start, fleet, tmp_path, 0)
    assert [r.update.robot for r in result.refused] == ["robot0", "robot1"]
    assert "more than the 0.5 of --aggregation.max_norm" in result.refused[0].reason
    assert result.metrics["refused"] == 2
    assert off(result, start, shared) < 0.2


def test_what_is_too_long_is_shortened(
    fleet: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(max_norm=0.5, too_long="clip")
    result = aggregate(config, start, fleet, tmp_path, 0)
    assert result.refused == ()
    assert result.metrics["shortened"] == 2
    # No weighted mean of changes is longer than the longest of them.
    assert result.metrics["change-norm"] <= 0.5 * length(start)


def test_if_all_are_refused_their_reasons_are_the_error(
    fleet: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(FederationError, match=r"has 0 .*robot0: its change is"):
        aggregate(AggregateConfig(max_norm=1e-6), start, fleet, tmp_path, 0)


def test_an_adapter_of_zeros_has_no_length_to_be_bound_by(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    zeros = {name: 0 * tensor for name, tensor in start.items()}
    update = store("robot1", noise(1), begin=zeros)
    with pytest.raises(FederationError, match="it changes are zeros"):
        aggregate(AggregateConfig(max_norm=1.0), zeros, [update], tmp_path, 0)


@pytest.mark.parametrize("claimed", [10**9, 0])
def test_heads_are_counted_whatever_samples_are_claimed(
    claimed: int, store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    honest = [store(f"robot{i}", noise(i, 0.1)) for i in range(4)]
    config: dict[str, Any] = {"strategy": "median"}
    usual = aggregate(
        AggregateConfig(**config), start, [*honest, store("liar", noise(9))], tmp_path, 0
    )
    liar = store("liar", noise(9), samples=claimed)
    result = aggregate(AggregateConfig(**config), start, [*honest, liar], tmp_path, 0)
    if claimed:
        assert largest_difference(result.tensors, usual.tensors) == 0.0
    else:
        assert "0 samples" in result.refused[0].reason


def test_an_update_counts_once_in_a_servers_life(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "state" / "seen.jsonl"
    digest = store("robot1", noise(1)).update_digest
    seen = SeenUpdates(path)
    seen.check("robot1", "job1", digest)
    seen.add("robot1", "job1", digest)
    for server in (seen, SeenUpdates(path)):
        server.check("robot1", "job1", digest)
        with pytest.raises(FederationError, match="repeats its own of job job1"):
            server.check("robot1", "job2", digest)
        with pytest.raises(FederationError, match="repeats robot1's of job job1"):
            server.check("robot2", "job1", digest)
        server.check("robot2", "job1", weights.digest(noise(2)))


def test_a_line_that_a_power_cut_tore_is_no_update(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    SeenUpdates(path).add("robot1", "job1", "sha256:1")
    with path.open("a") as file:
        file.write('{"digest": "sha256:2", "rob')
    seen = SeenUpdates(path)
    seen.add("robot1", "job3", "sha256:3")
    again = SeenUpdates(path)
    again.check("robot9", "job9", "sha256:2")
    for digest in ("sha256:1", "sha256:3"):
        with pytest.raises(FederationError):
            again.check("robot9", "job9", digest)


def test_a_line_that_is_none_of_ours_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text('{"digest": 1}\n')
    with pytest.raises(FederationError, match="line 1"):
        SeenUpdates(path)
