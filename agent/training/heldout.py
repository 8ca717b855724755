"""The held-out error of a policy: one number, or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.policy.evaluate import open_loop_error
from agent.policy.load import LoadedPolicy
from robots.errors import ModelError


def heldout_error(
    loaded: LoadedPolicy, root: Path, episodes: Sequence[int], rename_map: Mapping[str, str]
) -> float | None:
    """Mean open-loop action error over the held-out episodes, in parts of each joint's range.

    None when there are no held-out episodes: nothing is made up in their place.

    Raises:
        ModelError: the policy's actions aren't finite.
    """
    if not episodes:
        return None
    results = open_loop_error(loaded, root, episodes, rename_map=rename_map)
    error = float(sum(result.error for result in results)) / len(results)
    if not math.isfinite(error):
        raise ModelError("the policy's actions on the held-out episodes aren't finite")
    return error
