"""``ensemble``: the temporal ensembling of ACT (arXiv 2304.13705, algorithm 2).

Plan i, counted from the oldest, weighs exp(−m·i), and the weights are scaled to sum 1. m = 0 is the
mean; m > 0 trusts the older plans more, the authors' choice with 0.01; m < 0 the newer ones. It is
made for a chunk every tick: with two or three chunks a tick it is nearly their mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.control.merging.average import Average


def ensemble(coefficient: float) -> Average:
    """The merge whose m is ``coefficient``."""

    def weights(n: int) -> NDArray[np.float32]:
        exponents = -coefficient * np.arange(n)
        # Scaled before, not only after: a large m must not overflow.
        raw = np.exp(exponents - exponents.max())
        shares: NDArray[np.float32] = (raw / raw.sum()).astype(np.float32)
        return shares

    return Average("ensemble", weights)
