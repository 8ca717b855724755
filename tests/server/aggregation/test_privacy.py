"""Differential privacy: what one robot can move, and noise that nobody can take off again."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from torch import Tensor

from agent.policy import weights
from robots.errors import FederationError
from server.aggregation.aggregate import aggregate
from server.aggregation.config import AggregateConfig
from server.aggregation.stored import StoredUpdate
from tests.server.aggregation.conftest import Store, length, noise

PRIVATE = AggregateConfig(dp_clip=0.1, dp_noise=1.0)


@pytest.fixture
def updates(store: Store) -> list[StoredUpdate]:
    return [store(f"robot{i}", noise(i), samples=1 + 1000 * i) for i in range(4)]


def test_one_robot_moves_the_mean_by_its_equal_share_at_most(
    updates: list[StoredUpdate], store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(dp_clip=0.1)
    loud = store("robot3", {n: 1e4 * t for n, t in noise(77).items()}, samples=10**9, job="2")
    one = aggregate(config, start, updates, tmp_path, 0).tensors
    other = aggregate(config, start, [*updates[:3], loud], tmp_path, 0).tensors
    # Each of the two is at most 0.1 long and counts a quarter.
    assert length({n: one[n] - other[n] for n in one}) <= 2 * 0.1 / 4 + 1e-6


def test_noise_repeats_with_the_round_and_with_nothing_else(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    def digest(state: str, seed: int, count: int = 4, config: AggregateConfig = PRIVATE) -> str:
        result = aggregate(config, start, updates[:count], tmp_path / state, seed)
        return weights.digest(result.tensors)

    assert digest("state", 1) == digest("state", 1)
    assert digest("state", 1) != digest("state", 2)
    # Another server: nobody can draw the noise from what is published.
    assert digest("state", 1) != digest("elsewhere", 1)


def test_noise_does_not_cancel_out_of_a_difference(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    still = {name: 0 * tensor for name, tensor in start.items()}
    updates = [store(f"robot{i}", still) for i in range(4)]
    again = store("robot3", still, job="0002")
    one = aggregate(PRIVATE, start, updates, tmp_path, 0).tensors
    other = aggregate(PRIVATE, start, [*updates[:3], again], tmp_path, 0).tensors
    assert length({n: one[n] - other[n] for n in one}) > 0.01


def test_the_deviation_is_told(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    result = aggregate(PRIVATE, start, updates, tmp_path, 0)
    assert result.metrics["noise-deviation"] == pytest.approx(0.1 / 4)
    assert result.metrics["shortened"] == 4


def test_a_server_optimiser_sees_the_mean_with_its_noise(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    one = aggregate(PRIVATE, start, updates, tmp_path, 0).tensors
    config = AggregateConfig(strategy="fedavgm", dp_clip=0.1, dp_noise=1.0)
    other = aggregate(config, start, updates, tmp_path, 0).tensors
    assert length({n: one[n] - other[n] for n in one}) < 1e-6


def test_the_key_is_the_servers_alone(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    aggregate(PRIVATE, start, updates, tmp_path, 0)
    key = tmp_path / "noise.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.write_bytes(b"short")
    with pytest.raises(FederationError, match="32 bytes"):
        aggregate(PRIVATE, start, updates, tmp_path, 0)
