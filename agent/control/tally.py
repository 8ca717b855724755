"""What a policy would have done beside what was recorded, by episode, while one is replayed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class _Episode:
    ticks: int = 0
    late: int = 0
    starved: int = 0
    driven: int = 0
    error: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class ReplayTally:
    """Counts ticks and sums errors.

    Args:
        names: The action's components.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._episodes: dict[int, _Episode] = {}

    def note(
        self,
        episode: int,
        proposal: NDArray[np.float32] | None,
        recorded: NDArray[np.float32],
        *,
        late: bool,
    ) -> None:
        """One tick: what the policy proposed, ``None`` when it had nothing planned."""
        entry = self._episodes.setdefault(episode, _Episode(error=np.zeros(len(self._names))))
        entry.ticks += 1
        entry.late += late
        if proposal is None:
            entry.starved += 1
        else:
            entry.driven += 1
            entry.error += np.abs(proposal.astype(float) - recorded)

    def to_json(self) -> list[dict[str, Any]]:
        """One entry an episode; errors are means over the driven ticks, in the robot's units."""
        return [
            {
                "episode": number,
                "ticks": e.ticks,
                "late_ticks": e.late,
                "starved_ticks": e.starved,
                "driven_ticks": e.driven,
                "error_by_joint": (
                    dict(zip(self._names, (e.error / e.driven).tolist(), strict=True))
                    if e.driven
                    else None
                ),
            }
            for number, e in sorted(self._episodes.items())
        ]
