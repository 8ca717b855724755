"""One robot's share of a round: train the trainable part on the robot's own episodes.

LeRobot does the work: its data set, its processors, the policy's own loss and optimiser preset.
What is ours: which episodes, which tensors, the bounds, and that the result repeats bit for bit on
a CPU. There is no learning-rate schedule: LeRobot's presets warm up over a thousand steps, which is
longer than a round.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agent.data.fingerprint import fingerprints
from agent.data.open import open_info
from agent.data.split import split
from agent.policy import weights
from agent.policy.load import LoadedPolicy
from agent.training.config import TrainConfig
from agent.training.frames import TrainingFrames
from agent.training.heldout import heldout_error
from agent.training.processors import load_with_own_processors, own_stats
from robots.errors import DataError, ModelError

log = logging.getLogger(__name__)

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
    received: Mapping[str, Tensor] | None = None,
    rename_map: Mapping[str, str] | None = None,
    device: str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> TrainResult:
    """Train.

    Args:
        policy_path: Folder of the policy whose frozen part is used.
        processors: Where the robot's normaliser is, or will be made.
        dataset_root: The robot's episodes.
        config: How.
        received: Trainable tensors to start from, fp32; None: those of the policy.
        rename_map: Robot keys to policy keys.
        device: Torch device; None: the policy's own or the best there is.
        threads: Threads of torch; 0: as they are.
        progress: Called after each step.

    Raises:
        DataError: no episodes to train on, or a data set that can't be read.
        ModelError: tensors that don't fit, or a loss that isn't finite.
    """
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    info = open_info(dataset_root)
    training, heldout = split(len(info.episodes))
    if not training:
        raise DataError(
            f"{len(info.episodes)} episodes are too few to train on",
            field="--dataset.root",
            value=dataset_root,
            remedy="Record at least one",
        )
    # Now, and not when it is done: a recorder may delete old episodes meanwhile.
    trained_on = tuple(fingerprints(info, training).values())
    rename = rename_map or {}
    loaded = load_with_own_processors(
        str(policy_path), processors, stats=own_stats(dataset_root, rename), device=device
    )
    frames = TrainingFrames(dataset_root, training, loaded.config, rename)
    if received is not None:
        weights.apply(loaded.policy, received)
    before = heldout_error(loaded, dataset_root, heldout, rename)
    losses = _steps(loaded, frames, config, progress)
    after = heldout_error(loaded, dataset_root, heldout, rename)
    tenth = max(1, len(losses) // 10)
    return TrainResult(
        trainable=weights.trainable(loaded.policy),
        samples=len(frames),
        episodes=len(training),
        trained_on=trained_on,
        heldout_episodes=len(heldout),
        loss_first=sum(losses[:tenth]) / tenth,
        loss_last=sum(losses[-tenth:]) / tenth,
        losses=tuple(losses),
        error_before=before,
        error_after=after,
        seconds=time.monotonic() - started,
    )


def _steps(
    loaded: LoadedPolicy, frames: TrainingFrames, config: TrainConfig, progress: Progress | None
) -> list[float]:
    """The optimiser's steps; the loss of each."""
    torch.manual_seed(config.seed)
    policy: Any = loaded.policy
    preset = policy.config.get_optimizer_preset()
    if config.lr:
        preset = dataclasses.replace(preset, lr=config.lr)
    optimizer = preset.build(policy.get_optim_params())
    parameters = [p for p in policy.parameters() if p.requires_grad]
    anchor = [p.detach().clone() for p in parameters] if config.proximal_mu else []
    limit = preset.grad_clip_norm or math.inf
    batches = frames.batches(batch_size=config.batch_size, seed=config.seed)
    losses: list[float] = []
    policy.train()
    for step in range(1, config.steps + 1):
        loss, _ = policy.forward(loaded.preprocess(next(batches)))
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} at step {step}", remedy="Lower --train.lr or see the data set"
            )
        if anchor:
            loss = loss + config.proximal_mu / 2 * _distance(parameters, anchor)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, limit)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value)
        if progress is not None:
            progress(step, config.steps, value)
    policy.eval()
    return losses


def _distance(parameters: list[nn.Parameter], anchor: list[Tensor]) -> Tensor:
    """Squared distance from where the round began (FedProx, arXiv:1812.06127)."""
    parts = [(p - a).square().sum() for p, a in zip(parameters, anchor, strict=True)]
    return torch.stack(parts).sum()
