"""When a bus may be asked again after an answer that did not come in time.

The SDK takes whatever answer arrives for that of its last question. After a retry or a failure the
answer of the question before may still be under way: a position would be taken for a temperature,
and every answer from then on be one question old. So nothing is asked until the line was quiet.

Knows no bus and no clock.
"""

from __future__ import annotations

QUIET_S = 0.05
"""With the SDK's own time-out of 50 ms: an answer may be 100 ms late."""

LIMIT_S = 0.3
"""Noise never is quiet: then asking, and failing, tells more than waiting."""

LATE_AFTER = 6
"""Observations in a row that needed a second question: the answers are late, not lost."""


class Settling:
    """What is known of answers under way."""

    def __init__(self) -> None:
        self._quiet_at = self._limit = 0.0
        self._late = 0

    @property
    def late(self) -> bool:
        """Whether answers come too late all the time."""
        return self._late >= LATE_AFTER

    def note(self, now_s: float, *, again: bool) -> None:
        """An observation came; ``again``: it took more than one question."""
        self._late = self._late + 1 if again else 0
        if again:
            self.doubt(now_s)

    def doubt(self, now_s: float) -> None:
        """An answer may still be under way."""
        self._quiet_at, self._limit = now_s + QUIET_S, now_s + LIMIT_S

    def waits(self, now_s: float, *, stale: bool = False) -> bool:
        """Whether to ask nothing now; ``stale``: something came that nobody waits for."""
        if stale and now_s < self._quiet_at:
            self._quiet_at = min(now_s + QUIET_S, self._limit)
        return now_s < self._quiet_at
