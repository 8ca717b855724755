"""The robot's normaliser: frozen at its first training, used for good.

Statistics differ from robot to robot (ranges, offsets, light). Averaging them, as others do, gives
a normaliser that is right for nobody; computing them anew each time moves the ground under weights
that were trained on the old ones.

A fleet whose operator asks for it has one normaliser of all robots' frames
(:mod:`agent.federation.payload.statistics`). It is frozen in the same place, and the policy worker
uses it from then on. It never takes the place of the robot's own in silence: the model that runs
was trained with that one, and would move the arm by other amounts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.data.share_stats import share_stats
from agent.federation.payload.statistics import normaliser
from agent.policy.atomic import place
from agent.policy.load import LoadedPolicy, load_policy, read_stats
from robots.errors import ModelError

_MARK = "policy_preprocessor.json"
_POOLED = "pooled.json"
"""The fleet's statistics, in a normaliser that was made from them."""


def frozen_processors(folder: Path) -> Path | None:
    """``folder`` if a normaliser was frozen there."""
    return folder if (folder / _MARK).is_file() else None


def own_stats(
    dataset_root: Path, rename_map: Mapping[str, str], *, episodes: Sequence[int] | None = None
) -> dict[str, Any]:
    """The statistics of the robot's data set, or of some of its episodes, under the policy's keys.

    Raises:
        ModelError: the data set has none.
        DataError: it has none of these episodes.
    """
    stats = read_stats(dataset_root) if episodes is None else share_stats(dataset_root, episodes)
    return {rename_map.get(key, key): value for key, value in stats.items()}


def load_with_own_processors(
    policy_path: str,
    folder: Path,
    *,
    stats: Mapping[str, Any],
    device: str | None,
    pooled: str = "",
) -> LoadedPolicy:
    """Load a policy with the robot's normaliser, which is made if it is the first time and kept in
    ``folder``.

    Args:
        policy_path: A ``pretrained_model`` folder.
        folder: ``StateDir.processors``.
        stats: Statistics of the robot's data set, by the policy's keys.
        device: Torch device, or None for the policy's own or the best there is.
        pooled: The fleet's statistics, which are to take the place of those in ``stats``, as
            ``Order.normaliser``; empty: whatever normaliser there is, or the robot's own.

    Raises:
        ModelError: the policy doesn't load, or the robot has another normaliser than the fleet's.
        FederationError: ``pooled`` holds no statistics.
    """
    if frozen_processors(folder) is not None:
        _check_pooled(folder, pooled)
        return load_policy(policy_path, device=device, processors=folder)
    if pooled:
        # Quantiles don't pool: a policy that needs them says that it has none.
        stats = {**stats, **normaliser(pooled)}
    loaded = load_policy(policy_path, device=device, dataset_stats=dict(stats))
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    loaded.preprocess.save_pretrained(partial)
    loaded.postprocess.save_pretrained(partial)
    if pooled:
        (partial / _POOLED).write_text(pooled, encoding="utf-8")
    place(partial, folder)
    return loaded


def _check_pooled(folder: Path, pooled: str) -> None:
    path = folder / _POOLED
    frozen = path.read_text(encoding="utf-8") if path.is_file() else ""
    if pooled and pooled != frozen:
        raise ModelError(
            "is another normaliser than the fleet's, and the robot's models were trained with it",
            field="processors",
            value=folder,
            remedy="To take the fleet's, stop the agent, delete the folder and start it again",
        )
