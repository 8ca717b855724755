"""How long an answer may take: by how long those before it took.

A chunk that comes after its span is still of use to an arm that holds for want of it, so what a
slow policy takes has to be waited for. But a server that answers in tens of milliseconds and then
is silent hangs, and nobody should wait a minute to learn so.

Pure: no clock.
"""

from __future__ import annotations

from collections import deque

_TIMES = 2.0
"""The slowest of the recent answers: another may share its pass with more robots."""

_SPANS = 2.0
"""Chunks: after so many control asks the robot's own policy, if it has one."""

_RECENT = 8


class Patience:
    """The limit of the next question.

    Args:
        longest_s: Never more than this; and this, while nothing is known.
    """

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def limit_s(self, span_s: float) -> float:
        """How long to wait.

        Args:
            span_s: How long a chunk lasts.
        """
        if not self._recent:
            return self.longest_s
        return min(self.longest_s, max(_SPANS * span_s, _TIMES * max(self._recent)))

    def note(self, seconds: float) -> None:
        """An answer took this long, or would have."""
        self._recent.append(seconds)
