"""The robot's own normaliser: frozen at its first training, used for good, never sent anywhere.

Statistics differ from robot to robot (ranges, offsets, light). Averaging them, as others do, gives
a normaliser that is right for nobody; computing them anew each time moves the ground under weights
that were trained on the old ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.data.share_stats import share_stats
from agent.policy.load import LoadedPolicy, load_policy, read_stats
from agent.training.episodes import Episodes

_MARK = "policy_preprocessor.json"


def frozen_processors(folder: Path) -> Path | None:
    """``folder`` if a normaliser was frozen there."""
    return folder if (folder / _MARK).is_file() else None


def own_stats(
    dataset_root: Path, rename_map: Mapping[str, str], *, share: Episodes | None = None
) -> dict[str, Any]:
    """The statistics of the robot's data set, or of its share of one, under the policy's keys.

    Raises:
        ModelError: the data set has none.
        DataError: it has none of these episodes.
    """
    if share is None:
        stats = read_stats(dataset_root)
    else:
        stats = share_stats(dataset_root, [*share.training, *share.heldout])
    return {rename_map.get(key, key): value for key, value in stats.items()}


def load_with_own_processors(
    policy_path: str,
    folder: Path,
    *,
    stats: Mapping[str, Any],
    device: str | None,
) -> LoadedPolicy:
    """Load a policy with the robot's normaliser, which is made from ``stats`` if it is the first
    time and kept in ``folder``.

    Args:
        policy_path: A ``pretrained_model`` folder.
        folder: ``StateDir.processors``.
        stats: Statistics of the robot's data set, by the policy's keys.
        device: Torch device, or None for the policy's own or the best there is.

    Raises:
        ModelError: the policy doesn't load.
    """
    if frozen_processors(folder) is not None:
        return load_policy(policy_path, device=device, processors=folder)
    loaded = load_policy(policy_path, device=device, dataset_stats=dict(stats))
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    loaded.preprocess.save_pretrained(partial)
    loaded.postprocess.save_pretrained(partial)
    partial.rename(folder)
    return loaded
