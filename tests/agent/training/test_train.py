"""Training at home: it learns, it changes only what it may, and it repeats bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent.policy import weights
from agent.policy.load import load_policy
from agent.training.config import TrainConfig
from agent.training.measure import measure
from agent.training.train import TrainResult, train
from robots.errors import DataError, ModelError
from tests.datasets import make_dataset

STEPS = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int, float]]:
    return []


@pytest.fixture(scope="module")
def result(
    policy: Path, dataset: Path, home: Path, told: list[tuple[int, int, float]]
) -> TrainResult:
    return run(policy, dataset, home, steps=STEPS, progress=lambda *step: told.append(step))


def run(policy: Path, dataset: Path, home: Path, **change: Any) -> TrainResult:
    names = {"steps", "lr", "seed", "proximal_mu"}
    config = TrainConfig(batch_size=4, **{k: v for k, v in change.items() if k in names})
    others = {k: v for k, v in change.items() if k not in names}
    return train(
        policy_path=policy,
        processors=home / "processors",
        dataset_root=dataset,
        config=config,
        device="cpu",
        threads=1,
        **others,
    )


def test_it_learns_and_says_what_it_did(
    result: TrainResult, told: list[tuple[int, int, float]]
) -> None:
    assert result.loss_last < result.loss_first
    # Two of three episodes train; the last is held out.
    assert (result.samples, result.episodes, result.heldout_episodes) == (48, 2, 1)
    assert result.error_before is not None
    assert result.error_after is not None
    assert result.error_after != result.error_before
    assert [step for step, _, _ in told] == list(range(1, STEPS + 1))


def test_only_the_trainable_part_changes(policy: Path, result: TrainResult) -> None:
    before = load_policy(str(policy), device="cpu").policy
    assert result.trainable.keys() == weights.trainable(before).keys()
    changed = [
        name
        for name, old in weights.trainable(before).items()
        if not torch.equal(old, result.trainable[name])
    ]
    assert len(changed) > len(result.trainable) * 0.9
    # What was on disk is as it was.
    whole = load_file(policy / "model.safetensors")
    assert all(torch.equal(whole[name], old) for name, old in weights.trainable(before).items())


def test_the_same_seed_gives_the_same_weights(
    policy: Path, dataset: Path, home: Path, result: TrainResult
) -> None:
    again = run(policy, dataset, home, steps=STEPS)
    other = run(policy, dataset, home, steps=2, seed=1)

    assert weights.digest(again.trainable) == weights.digest(result.trainable)
    assert weights.digest(other.trainable) != weights.digest(result.trainable)
    assert again.error_after == result.error_after


def test_it_starts_from_what_it_received(
    policy: Path, dataset: Path, home: Path, result: TrainResult
) -> None:
    onward = run(policy, dataset, home, steps=1, lr=1e-9, received=result.trainable)

    assert onward.error_before == result.error_after
    for name, tensor in onward.trainable.items():
        assert torch.allclose(tensor, result.trainable[name], atol=1e-7)


def test_a_proximal_term_keeps_a_robot_near_the_fleet(
    policy: Path, dataset: Path, home: Path
) -> None:
    start = weights.trainable(load_policy(str(policy), device="cpu").policy)

    def moved(mu: float) -> float:
        end = run(policy, dataset, home, steps=10, proximal_mu=mu).trainable
        return sum(float((end[name] - start[name]).square().sum()) for name in start)

    assert moved(100.0) < 0.7 * moved(0.0)


def test_the_normaliser_is_frozen_at_the_first_training(
    policy: Path, home: Path, result: TrainResult, tmp_path: Path
) -> None:
    names = sorted(p.name for p in (home / "processors").iterdir())
    assert "policy_preprocessor.json" in names
    assert "policy_postprocessor.json" in names
    before = {p.name: p.read_bytes() for p in (home / "processors").iterdir()}

    # The robot's episodes have changed since; its normaliser has not.
    other = make_dataset(tmp_path / "other", episodes=2, frames=8, reach=90.0, seed=5)
    run(policy, other, home, steps=1)

    assert {p.name: p.read_bytes() for p in (home / "processors").iterdir()} == before


def test_tensors_that_do_not_fit_are_refused_before_anything_is_trained(
    policy: Path, dataset: Path, home: Path, result: TrainResult
) -> None:
    name = sorted(result.trainable)[0]
    bad = dict(result.trainable)
    bad[name] = torch.full_like(bad[name], float("inf"))
    with pytest.raises(ModelError, match="not finite"):
        run(policy, dataset, home, steps=1, received=bad)
    del bad[name]
    with pytest.raises(ModelError, match="is missing"):
        run(policy, dataset, home, steps=1, received=bad)


def test_one_episode_trains_and_holds_nothing_out(policy: Path, home: Path, tmp_path: Path) -> None:
    single = make_dataset(tmp_path / "single", episodes=1, frames=8)

    result = run(policy, single, home, steps=1)

    assert (result.samples, result.heldout_episodes) == (8, 0)
    assert result.error_before is None
    assert result.error_after is None
    with pytest.raises(DataError, match="1 episodes are too few to hold one out"):
        measure(policy_path=policy, processors=home / "processors", dataset_root=single)


def test_a_robot_without_episodes_says_so(policy: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such data set"):
        run(policy, tmp_path / "nothing", home, steps=1)


def test_cameras_are_renamed_for_the_policy(
    policy: Path, dataset: Path, tmp_path: Path, result: TrainResult
) -> None:
    """A robot whose camera has another name trains to the same weights."""
    renamed = tmp_path / "renamed"
    shutil.copytree(policy, renamed)
    for name in ("config.json", "policy_preprocessor.json"):
        text = (renamed / name).read_text().replace("images.front", "images.camera1")
        (renamed / name).write_text(json.dumps(json.loads(text)))

    again = run(
        renamed,
        dataset,
        tmp_path,
        steps=STEPS,
        rename_map={"observation.images.front": "observation.images.camera1"},
    )

    assert weights.digest(again.trainable) == weights.digest(result.trainable)
