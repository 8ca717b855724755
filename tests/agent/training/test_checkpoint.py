"""A training that is left goes on as if it had not been, with the episodes that it began with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.data.delete import delete_episodes
from agent.data.fingerprint import fingerprints
from agent.data.open import open_info
from agent.policy import weights
from agent.training.checkpoint import Checkpoints
from agent.training.config import TrainConfig
from agent.training.episodes import Episodes
from agent.training.train import TrainResult, train
from robots.errors import DataError, ModelError


class LeftError(Exception):
    """In the middle of it."""


def run(
    policy: Path, dataset: Path, home: Path, *, leave_after: int = 0, keep: bool = True
) -> TrainResult:
    def progress(step: int, steps: int, loss: float) -> None:
        if step == leave_after:
            raise LeftError

    return train(
        policy_path=policy,
        processors=home / "processors",
        dataset_root=dataset,
        config=TrainConfig(steps=5, batch_size=2, proximal_mu=0.1),
        device="cpu",
        threads=1,
        progress=progress,
        checkpoints=Checkpoints(home, every_s=0.0) if keep else None,
    )


def test_what_was_left_ends_as_if_it_had_not_been(
    policy: Path, dataset: Path, tmp_path: Path
) -> None:
    through = run(policy, dataset, tmp_path, keep=False)
    for step in (2, 4):
        with pytest.raises(LeftError):
            run(policy, dataset, tmp_path, leave_after=step)

    result = run(policy, dataset, tmp_path)

    assert weights.digest(result.trainable) == weights.digest(through.trainable)
    assert result.losses == through.losses
    assert (result.error_before, result.error_after) == (through.error_before, through.error_after)


def test_a_damaged_checkpoint_is_refused(policy: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"not one")

    with pytest.raises(ModelError, match=r"checkpoint=.*can't be read"):
        run(policy, dataset, tmp_path)


def test_episodes_are_found_when_their_numbers_have_changed(dataset: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(dataset, tmp_path / "episodes"))
    before = fingerprints(open_info(own))
    chosen = Episodes(training={1: before[1]}, heldout={2: before[2]})

    delete_episodes(own, [0])

    found = Episodes.from_json(chosen.to_json()).found(open_info(own))
    assert (found.training, found.heldout) == ({0: before[1]}, {1: before[2]})
    with pytest.raises(DataError, match="episode 0, on which this training began, was deleted"):
        Episodes(training={0: before[0]}, heldout={}).found(open_info(own))
