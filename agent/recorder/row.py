"""One row of an episode: everything of a tick but its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPEATED = 0.0
"""Quality of a picture that is the one before again."""


@dataclass(frozen=True)
class Row:
    """A tick.

    Args:
        tick: Its number; within an episode they are consecutive.
        time_s: When the joints were read, seconds since the epoch.
        state, action: (S,) and (A,) float32.
        taken_s: When each picture was taken, seconds since the epoch, in the layout's order.
        quality: Of each picture: 1 whole, 0.5 and 0.25 the share of its resolution that was kept,
            0 the picture before again.
        intervention: Whether a human drove.
        fault: Whether a policy must not learn from it.
    """

    tick: int
    time_s: float
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    taken_s: tuple[float, ...]
    quality: tuple[float, ...]
    intervention: bool = False
    fault: bool = False

    def again(self) -> Row:
        """The next tick, of which nothing is known: all of this one again, times too."""
        same = (REPEATED,) * len(self.quality)
        return replace(self, tick=self.tick + 1, quality=same, fault=True)

    def to_json(self) -> list[Any]:
        """For the journal; a float32 survives JSON unchanged."""
        return [
            self.tick,
            self.time_s,
            self.state.tolist(),
            self.action.tolist(),
            self.taken_s,
            self.quality,
            int(self.intervention),
            int(self.fault),
        ]

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> Row:
        """The other way.

        Raises:
            ValueError, TypeError: it is no row.
        """
        tick, time_s, state, action, taken_s, quality, intervention, fault = values
        return cls(
            int(tick),
            float(time_s),
            np.array(state, np.float32),
            np.array(action, np.float32),
            tuple(taken_s),
            tuple(quality),
            bool(intervention),
            bool(fault),
        )
