"""The held-out error of received tensors, without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from agent.data.open import open_info
from agent.data.usable import usable
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
    unclean: bool = False,
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
    part: list[int] | None
    if share is not None:
        heldout, part = list(share.heldout), [*share.training, *share.heldout]
        few = "there are no held-out episodes"
    else:
        found = usable(info, unclean=unclean)
        heldout, part = found.split()[1], found.part
        few = f"{len(found.episodes)} episodes are too few to hold one out{found}"
    if not heldout:
        raise DataError(few)
    rename = rename_map or {}
    loaded = load_with_own_processors(
        str(policy_path),
        processors,
        stats=own_stats(dataset_root, rename, episodes=part),
        device=device,
        pooled=normaliser,
    )
    prepare(loaded.policy, trains or TrainsConfig())
    if received is not None:
        weights.apply(loaded.policy, received)
    error = heldout_error(loaded, dataset_root, heldout, rename)
    assert error is not None
    return error, len(heldout)
