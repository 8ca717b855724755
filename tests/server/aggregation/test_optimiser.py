"""What a server optimiser remembers, and through what it remembers it."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from agent.policy import weights
from robots.errors import FederationError, ModelError
from server.aggregation.aggregate import aggregate
from server.aggregation.config import OPTIMISERS, AggregateConfig
from server.aggregation.stored import StoredUpdate
from tests.server.aggregation.conftest import Store, noise


@pytest.fixture
def updates(store: Store) -> list[StoredUpdate]:
    return [store(f"robot{i}", noise(i, 0.1), encoding="bf16") for i in range(2)]


def memories(state: Path) -> list[str]:
    return sorted(p.name for p in state.iterdir() if p.is_dir())


@pytest.mark.parametrize("strategy", OPTIMISERS)
def test_a_round_goes_on_from_what_belongs_to_its_weights(
    strategy: str, updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy=strategy)
    weights_now = start
    for steps in (1, 2, 3):
        result = aggregate(config, weights_now, updates, tmp_path, 0)
        assert result.metrics["optimiser-steps"] == steps
        weights_now = result.tensors
    fresh = aggregate(config, weights_now, updates, tmp_path / "other", 0)
    gone_on = aggregate(config, weights_now, updates, tmp_path, 0)
    assert fresh.metrics["optimiser-steps"] == 1
    assert weights.digest(fresh.tensors) != weights.digest(gone_on.tensors)


def test_no_more_than_two_memories_are_kept(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy="fedadam")
    weights_now = start
    for _ in range(4):
        weights_now = aggregate(config, weights_now, updates, tmp_path, 0).tensors
    assert len([name for name in memories(tmp_path) if name.startswith("fedadam-")]) == 2


def test_the_round_after_a_return_to_earlier_weights_has_their_memory(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy="fedavgm")
    first = aggregate(config, start, updates, tmp_path, 0).tensors
    second = aggregate(config, first, updates, tmp_path, 0)
    rejected = aggregate(config, first, updates[:1], tmp_path, 0)
    assert second.metrics["optimiser-steps"] == rejected.metrics["optimiser-steps"] == 2


def test_another_strategy_begins_anew_and_leaves_the_first_ones_memory(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    adam, yogi = AggregateConfig(strategy="fedadam"), AggregateConfig(strategy="fedyogi")
    first = aggregate(adam, start, updates, tmp_path, 0).tensors
    assert aggregate(yogi, first, updates, tmp_path, 0).metrics["optimiser-steps"] == 1
    assert aggregate(adam, first, updates, tmp_path, 0).metrics["optimiser-steps"] == 2


def test_an_aggregation_that_failed_half_way_leaves_no_trace(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy="fedadam")
    first = aggregate(config, start, updates, tmp_path / "state", 0).tensors
    undisturbed = aggregate(config, first, updates, tmp_path / "state", 0)
    # As if the process had been killed: the next one finds what it was writing.
    (tmp_path / "state" / ".unfinished").mkdir()
    (tmp_path / "state" / ".unfinished" / "expert.a.safetensors").write_bytes(b"half")
    good = updates[1].path.read_bytes()
    updates[1].path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelError):
        aggregate(config, first, updates, tmp_path / "state", 0)
    updates[1].path.write_bytes(good)
    again = aggregate(config, first, updates, tmp_path / "state", 0)
    assert weights.digest(again.tensors) == weights.digest(undisturbed.tensors)
    assert ".unfinished" not in memories(tmp_path / "state")


def test_a_memory_that_is_damaged_is_an_error(
    updates: list[StoredUpdate], start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy="fedadam")
    first = aggregate(config, start, updates, tmp_path, 0).tensors
    (folder,) = tmp_path.glob("fedadam-*")
    (folder / "steps.json").write_text("{}")
    with pytest.raises(FederationError, match="Remove the folder to begin anew"):
        aggregate(config, first, updates, tmp_path, 0)


def test_a_round_that_moves_nothing_leaves_the_memory_as_it_was(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    config = AggregateConfig(strategy="fedadam")
    still = {name: 0 * tensor for name, tensor in start.items()}
    for _ in range(2):
        result = aggregate(config, start, [store("robot1", still)], tmp_path / "state", 0)
        assert result.metrics["optimiser-steps"] == 1
