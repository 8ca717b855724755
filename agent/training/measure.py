"""The held-out error of received tensors, without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from agent.data.open import open_info
from agent.data.split import split
from agent.federation.payload.spec import TrainsConfig
from agent.federation.payload.trained import prepare
from agent.policy import weights
from agent.training.episodes import Episodes
from agent.training.heldout import heldout_error
from agent.training.processors import load_with_own_processors, own_stats
from robots.errors import DataError


def measure(
    *,
    policy_path: Path,
    processors: Path,
    dataset_root: Path,
    trains: TrainsConfig | None = None,
    received: Mapping[str, Tensor] | None = None,
    normaliser: str = "",
    rename_map: Mapping[str, str] | None = None,
    device: str | None = None,
    threads: int = 0,
    share: Episodes | None = None,
) -> tuple[float, int]:
    """Measure; the arguments are those of :func:`agent.training.train.train`.

    Returns:
        The error and the number of held-out episodes, its weight in an average.

    Raises:
        DataError: the robot has no held-out episodes.
        ModelError: the policy doesn't load, or the tensors don't fit.
    """
    if threads:
        torch.set_num_threads(threads)
    info = open_info(dataset_root)
    heldout = list(share.heldout) if share is not None else split(len(info.episodes))[1]
    rename = rename_map or {}
    loaded = load_with_own_processors(
        str(policy_path),
        processors,
        stats=own_stats(dataset_root, rename, share=share),
        device=device,
        pooled=normaliser,
    )
    prepare(loaded.policy, trains or TrainsConfig())
    if received is not None:
        weights.apply(loaded.policy, received)
    error = heldout_error(loaded, dataset_root, heldout, rename)
    if error is None:
        raise DataError(
            f"{len(info.episodes)} episodes are too few to hold one out"
            if share is None
            else "there are no held-out episodes"
        )
    return error, len(heldout)
