"""The last tenth of a robot's episodes, rounded up, is held out."""

from __future__ import annotations

import pytest

from agent.data.split import split


@pytest.mark.parametrize(
    ("episodes", "held_out"),
    [(0, 0), (1, 0), (2, 1), (10, 1), (11, 2), (20, 2), (25, 3), (100, 10)],
)
def test_the_last_tenth_is_held_out(episodes: int, held_out: int) -> None:
    training, held = split(episodes)
    assert len(held) == held_out
    assert training + held == list(range(episodes))
