"""The open-loop action error: finite, repeatable, in units and in parts of each joint's range."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from agent.data.open import open_dataset
from agent.policy.evaluate import open_loop_error
from agent.policy.init import build_policy
from agent.policy.load import LoadedPolicy, load_policy, read_stats
from robots.errors import DataError, ModelError
from tests.datasets import CAMERA, JOINTS, make_dataset


class Oracle:
    """Knows the recording: what it answers is off by ``offset`` units."""

    name = "oracle"
    looks_back = 1
    independent = True
    timings: ClassVar[dict[str, float]] = {}

    def __init__(self, actions: np.ndarray, chunk: int, offset: float) -> None:
        self._chunks = [
            torch.from_numpy(actions[i : i + chunk] + np.float32(offset)).unsqueeze(0)
            for i in range(0, len(actions), chunk)
        ]

    def noise_shape(self, batch_size: int) -> None:
        return None

    def forget(self, robot: str) -> None:
        """It knows all in advance."""

    def predict(self, batch: dict[str, torch.Tensor], **_: object) -> torch.Tensor:
        return self._chunks.pop(0)


def test_a_real_recording(shared_data: Path, tmp_path: Path) -> None:
    dataset = shared_data / "so101_cloth_wrist_3ep"
    policy = build_policy(
        tmp_path / "policy",
        size="tiny",
        cameras={"wrist": (224, 224)},
        action_names=JOINTS,
        stats=read_stats(dataset),
    )
    loaded = load_policy(str(policy))
    results = open_loop_error(loaded, dataset, [0, 2])
    again = open_loop_error(loaded, dataset, [2])

    assert [r.episode for r in results] == [0, 2]
    assert all(np.isfinite(r.error) and r.error > 0 for r in results)
    assert results[0].by_joint.keys() == set(JOINTS)
    assert len(results[0].latencies_s) == -(-results[0].frames // loaded.config.n_action_steps)
    # The noise belongs to the frame, not to the order of asking.
    assert again[0].by_joint == results[1].by_joint


def test_the_error_is_the_distance_to_what_was_recorded(
    loaded: LoadedPolicy, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path / "data", episodes=1, frames=70)
    stats = read_stats(dataset)["action"]
    # Two and a third chunks: the last one is compared as far as the episode goes.
    oracle = Oracle(_actions(dataset), loaded.config.n_action_steps, offset=3.0)
    told = replace(loaded, engine=oracle, postprocess=lambda chunk: chunk)  # type: ignore[arg-type]
    (result,) = open_loop_error(told, dataset)

    assert result.frames == 70
    assert list(result.by_joint.values()) == pytest.approx([3.0] * len(JOINTS), rel=1e-4)
    ranges = np.maximum(stats["q99"] - stats["q01"], 10.0)
    assert result.error == pytest.approx(float(np.mean(3.0 / ranges)), rel=1e-4)
    assert len(result.latencies_s) == 3


def _actions(dataset: Path) -> np.ndarray:
    return np.stack(open_dataset(dataset).hf_dataset.select_columns("action")[:]["action"])


def test_all_episodes_unless_some_are_named(loaded: LoadedPolicy, small_dataset: Path) -> None:
    results = open_loop_error(loaded, small_dataset)

    assert [r.episode for r in results] == [0, 1, 2]


def test_another_seed_is_other_noise(loaded: LoadedPolicy, small_dataset: Path) -> None:
    one, two = (open_loop_error(loaded, small_dataset, [0], seed=s)[0] for s in (1, 2))

    assert one.error != two.error


def test_an_episode_that_is_not_there(loaded: LoadedPolicy, small_dataset: Path) -> None:
    with pytest.raises(DataError, match="--episodes=3: there is no such episode, there are 3"):
        open_loop_error(loaded, small_dataset, [3])


def test_a_data_set_of_another_robot_is_refused(loaded: LoadedPolicy, shared_data: Path) -> None:
    with pytest.raises(ModelError, match=rf"needs the camera observation\.images\.{CAMERA}.*wrist"):
        open_loop_error(loaded, shared_data / "so101_cloth_wrist_3ep")


def test_actions_that_are_not_finite_are_an_error(tiny_policy: Path, tmp_path: Path) -> None:
    broken = load_policy(str(tiny_policy))
    with torch.no_grad():
        for parameter in broken.policy.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ModelError, match="at frame 0 of episode 0 are not finite"):
        open_loop_error(broken, make_dataset(tmp_path / "data", episodes=1), [0])
