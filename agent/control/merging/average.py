"""A weighted mean of all that is planned for a tick: what ``weighted`` and ``ensemble`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.control.timeline import Planned

Weights = Callable[[int], NDArray[np.float32]]
"""n plans → their (n,) weights, oldest first, of sum 1."""


class Average:
    """Averages. Actions are joint positions, so there is no angle that wraps.

    Args:
        name: Of the strategy.
        weights: By the number of plans; asked once for each number, a tick has no time for powers.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self.name = name
        self._make = weights
        self._weights: dict[int, NDArray[np.float32]] = {}

    def __call__(self, tick: int, plans: Sequence[Planned]) -> Planned:
        n = len(plans)
        if n not in self._weights:
            self._weights[n] = self._make(n).astype(np.float32)
        actions = np.array([planned.action for planned in plans])
        return replace(plans[-1], action=self._weights[n] @ actions)
