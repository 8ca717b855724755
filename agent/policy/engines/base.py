"""What computes chunks: the one interface between a policy and whoever asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from agent.policy.guidance import Guidance


class Engine(Protocol):
    """Computes chunks from preprocessed batches. MUST answer every batch or raise; MUST NOT keep
    anything of one robot that another could see."""

    name: str
    """What the user calls it: ``torch``, …"""

    exact: bool
    """Whether its chunks equal LeRobot's in fp32 within 1e-3 of the action range."""

    independent: bool
    """Whether a robot's chunk is the same whoever shares its pass. Where one scale is found for the
    numbers of all rows it isn't, and each robot is to be asked alone."""

    timings: dict[str, float]
    """Seconds by part of the last pass, where it knows them."""

    looks_back: int
    """How many observations it looks at: 1, or more that follow each other tick by tick."""

    def noise_shape(self, batch_size: int) -> tuple[int, int, int] | None:
        """(B, N, A) of the noise that ``predict`` takes; ``None``: it draws what it needs from
        torch's own random state, if anything."""

    def predict(
        self,
        batch: dict[str, Any],
        *,
        robots: Sequence[str],
        noise: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> Tensor:
        """Chunks of B robots.

        Args:
            batch: Of LeRobot's preprocessor, B rows.
            robots: B names; a policy that looks back keeps a history for each.
            noise: (B, N, A); ``None``: drawn here.
            guidance: What the chunks are to continue.

        Returns:
            (B, N, A) normalised actions.

        Raises:
            ModelError: this policy can't be asked so.
        """

    def remember(self, batch: dict[str, Any], *, robots: Sequence[str]) -> None:
        """An observation before the one that will be asked about; of no use to those that look at
        one only."""

    def forget(self, robot: str) -> None:
        """Drop what is remembered of a robot: its episode is over, or it is gone."""
