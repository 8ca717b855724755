"""One robot's share of a round: train the trainable part on the robot's own episodes.

LeRobot does the work: its data set, its processors, the policy's own loss and optimiser preset.
What is ours: which episodes, which tensors, the bounds, that the result repeats bit for bit on a
CPU, and that it can be left at any moment and gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from agent.data.open import open_info
from agent.federation.payload.spec import TrainsConfig
from agent.federation.payload.trained import prepare
from agent.policy import weights
from agent.training.checkpoint import Checkpoints, Saved
from agent.training.config import TrainConfig
from agent.training.episodes import Episodes
from agent.training.frames import TrainingFrames
from agent.training.heldout import heldout_error
from agent.training.learner import Learner
from agent.training.processors import load_with_own_processors, own_stats

Progress = Callable[[int, int, float], None]
"""Gets the step that is done, the number of steps, and its loss."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of it.

    Args:
        trainable: The trainable tensors, fp32, on the CPU.
        samples: Training frames that the robot has; its weight in the average.
        episodes: Training episodes.
        trained_on: Their fingerprints, see :mod:`agent.data.used`.
        heldout_episodes: Episodes that were kept out.
        left_out: Episodes that the quality gate didn't let pass.
        loss_first: Mean loss of the first tenth of the steps.
        loss_last: Mean loss of the last tenth.
        losses: The loss of each step.
        error_before: Held-out error of what was received; None without held-out episodes.
        error_after: Held-out error of what was trained.
        seconds: All of it.
    """

    trainable: dict[str, Tensor]
    samples: int
    episodes: int
    trained_on: tuple[str, ...] = field(repr=False)
    heldout_episodes: int
    left_out: int
    loss_first: float
    loss_last: float
    losses: tuple[float, ...] = field(repr=False)
    error_before: float | None
    error_after: float | None
    seconds: float


def train(
    *,
    policy_path: Path,
    processors: Path,
    dataset_root: Path,
    config: TrainConfig,
    trains: TrainsConfig | None = None,
    received: Mapping[str, Tensor] | None = None,
    normaliser: str = "",
    rename_map: Mapping[str, str] | None = None,
    device: str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
    share: Episodes | None = None,
    unclean: bool = False,
) -> TrainResult:
    """Train.

    Args:
        policy_path: Folder of the policy whose frozen part is used.
        processors: Where the robot's normaliser is, or will be made.
        dataset_root: The robot's episodes.
        config: How.
        trains: Which tensors; None: those that the policy itself trains.
        received: Trainable tensors to start from, fp32; None: those of the policy.
        normaliser: The fleet's statistics, as ``Order.normaliser``; empty: the robot's own.
        rename_map: Robot keys to policy keys.
        device: Torch device; None: the policy's own or the best there is.
        threads: Threads of torch; 0: as they are.
        progress: Called after each step.
        checkpoints: Where it leaves what it needs to go on after it was killed, and finds it; what
            is trained then is bit for bit what would have been trained otherwise (on a CPU).
        share: Which episodes, of a data set that is divided among several; None: all of them, the
            last tenth held out. The normaliser is then that of the share.
        unclean: Whether also on episodes that the quality gate didn't let pass. If some are left
            out the normaliser is that of the others.

    Raises:
        DataError: no episodes to train on, or a data set that can't be read.
        ModelError: tensors that don't fit, or a loss that isn't finite.
    """
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    info = open_info(dataset_root)
    if share is not None:
        episodes = share
    elif checkpoints is not None:
        episodes = checkpoints.episodes(info, unclean=unclean)
    else:
        episodes = Episodes.choose(info, unclean=unclean)
    training, heldout = list(episodes.training), list(episodes.heldout)
    rename = rename_map or {}
    part = [*training, *heldout] if share is not None or episodes.left_out else None
    loaded = load_with_own_processors(
        str(policy_path),
        processors,
        stats=own_stats(dataset_root, rename, episodes=part),
        device=device,
        pooled=normaliser,
    )
    frames = TrainingFrames(
        dataset_root,
        training,
        loaded.config,
        rename,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    prepare(loaded.policy, trains or TrainsConfig())
    if received is not None:
        weights.apply(loaded.policy, received)
    learner = Learner(loaded, frames, config)
    saved = checkpoints.load() if checkpoints is not None else None
    if saved is None:
        before, earlier_s = heldout_error(loaded, dataset_root, heldout, rename), 0.0
    else:
        learner.go_on(saved.tensors, saved.losses)
        before, earlier_s = saved.error_before, saved.seconds

    def seconds() -> float:
        return earlier_s + time.monotonic() - started

    while learner.done < config.steps:
        loss = learner.step()
        if checkpoints is not None and (checkpoints.due or learner.done == config.steps):
            checkpoints.save(
                Saved(
                    tensors=learner.tensors(),
                    losses=learner.losses,
                    error_before=before,
                    seconds=seconds(),
                )
            )
        if progress is not None:
            progress(learner.done, config.steps, loss)
    after = heldout_error(loaded, dataset_root, heldout, rename)
    losses = learner.losses
    tenth = max(1, len(losses) // 10)
    return TrainResult(
        trainable=weights.trainable(loaded.policy),
        samples=len(frames),
        episodes=len(training),
        trained_on=tuple(episodes.training.values()),
        heldout_episodes=len(heldout),
        left_out=episodes.left_out,
        loss_first=sum(losses[:tenth]) / tenth,
        loss_last=sum(losses[-tenth:]) / tenth,
        losses=tuple(losses),
        error_before=before,
        error_after=after,
        seconds=seconds(),
    )
