"""``weighted``: LeRobot's aggregate functions, by LeRobot's names.

LeRobot's ``RobotClient`` folds each chunk into its queue as it comes, old ← a·old + b·new. Order
matters: of n plans the newest weighs b, the one before a·b, …, and the oldest aⁿ⁻¹. Here the fold
goes by the observations, which is LeRobot's order wherever chunks arrive in the order that they
were asked for; one that comes late counts as old. What an older chunk plans beyond the end of a
newer one is kept; LeRobot drops it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.control.merging.average import Average

NEW_SHARE = {"weighted_average": 0.7, "latest_only": 1.0, "average": 0.5, "conservative": 0.3}
"""b of each function, as in ``lerobot.async_inference.configs``; a is 1 − b."""


def weighted(function: str) -> Average:
    """The merge that folds by this one of ``NEW_SHARE``."""
    new = NEW_SHARE[function]

    def weights(n: int) -> NDArray[np.float32]:
        ages = np.arange(n)[::-1]
        shares = new * (1.0 - new) ** ages
        shares[0] = (1.0 - new) ** (n - 1)
        return shares.astype(np.float32)

    return Average("weighted", weights)
