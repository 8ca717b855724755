"""How far an arm that is sent recorded actions is from where the recorded one was, by joint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class _Episode:
    time_s: float
    largest: NDArray[np.float64]
    at_s: NDArray[np.float64]
    total: NDArray[np.float64]
    frames: int = 0


class Deviation:
    """Collects, episode by episode.

    Args:
        joints: Their names.
    """

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._joints = joints
        self._episodes: dict[int, _Episode] = {}

    def note(
        self,
        episode: int,
        time_s: float,
        recorded: NDArray[np.floating],
        reached: NDArray[np.floating],
    ) -> None:
        """One frame: its time in the episode, and (J,) both states, in the robot's units."""
        zeros = np.zeros(len(self._joints))
        entry = self._episodes.setdefault(
            episode, _Episode(0.0, zeros.copy(), zeros.copy(), zeros.copy())
        )
        off = np.abs(np.asarray(reached, float) - recorded)
        larger = off > entry.largest
        entry.largest = np.where(larger, off, entry.largest)
        entry.at_s = np.where(larger, time_s, entry.at_s)
        entry.total += off
        entry.frames += 1
        entry.time_s = time_s

    def to_json(self) -> list[dict[str, Any]]:
        """One entry an episode."""
        return [
            {
                "episode": number,
                "frames": e.frames,
                "seconds": round(e.time_s, 3),
                "largest_by_joint": self._named(e.largest),
                "at_s_by_joint": self._named(e.at_s),
                "mean_by_joint": self._named(e.total / e.frames),
            }
            for number, e in sorted(self._episodes.items())
        ]

    def _named(self, values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self._joints, values.round(4).tolist(), strict=True))
