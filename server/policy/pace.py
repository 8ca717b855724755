"""How long a pass takes, by the number of robots in it; learned from those that were made."""

from __future__ import annotations

_SHARE = 0.3
"""Of the newest pass in the estimate."""


class Pace:
    """Seconds by batch size.

    Args:
        one_s: What a pass of one robot took while warming up.
    """

    def __init__(self, one_s: float) -> None:
        self._seconds = {1: one_s}

    def note(self, size: int, seconds: float) -> None:
        """A pass was made."""
        known = self._seconds.get(size)
        self._seconds[size] = seconds if known is None else known + _SHARE * (seconds - known)

    def seconds(self, size: int) -> float:
        """The estimate. For a size that was never tried: that of the next smaller one, in
        proportion, which on a GPU is too much and on a CPU is about right."""
        smaller = max(n for n in self._seconds if n <= size)
        return self._seconds[smaller] * size / smaller
