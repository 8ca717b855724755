"""Which of a robot's episodes are for training and which are held out."""

from __future__ import annotations

import math


def split(episodes: int) -> tuple[list[int], list[int]]:
    """The last tenth, rounded up, is held out; with fewer than two episodes none is.

    Args:
        episodes: How many there are.

    Returns:
        Indices for training and indices held out, both in order of recording.
    """
    held = math.ceil(episodes / 10) if episodes >= 2 else 0
    return list(range(episodes - held)), list(range(episodes - held, episodes))
