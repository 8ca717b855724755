"""When the next chunk is asked for: from how long one takes and how far the plan reaches.

A chunk observed at tick t0 arrives L ticks later, and its first L actions have passed by then. So
it is asked for once ``horizon`` actions of the plan have been carried out (sooner is wasted work,
later is blind driving), and in any case L ticks before the plan ends.

That much warning a chunk of H actions can give only if L ≤ H/2. Beyond, the arm can't but hold now
and then. Asked with r actions left, a chunk arrives when those are over and the arm has held L − r
ticks, and brings H − r more: the arm moves (H − r) of L + H − 2r ticks, where r ≤ H/2 (no more are
left when a chunk arrives). That is most with r = H/2 while L < H, and with r = 0 from there on,
where a chunk that is asked for while the arm moves would be over when it comes.

Pure: no clock, no timeline.
"""

from __future__ import annotations

import math

_SPARE_TICKS = 2
"""For the tick in which it is asked and the one in which it arrives."""


class Asking:
    """Decides when to ask.

    Args:
        period_s: Of the control loop.
        horizon: Ticks to carry out of each chunk before the next observation; 0: half of it.
    """

    def __init__(self, period_s: float, horizon: int = 0) -> None:
        self.period_s = period_s
        self._horizon = horizon

    def ticks(self, latency_s: float | None) -> int:
        """What a latency is in ticks, rounded up; 0 while it is unknown."""
        return 0 if latency_s is None else math.ceil(latency_s / self.period_s)

    def wanted(
        self, *, age: int | None, left: int, latency_s: float | None, chunk_size: int
    ) -> bool:
        """Whether this tick's observation should be sent.

        Args:
            age: Actions of the newest plan that have passed; ``None``: no plan.
            left: Ticks that are planned from the next one on.
            latency_s: How long a chunk takes, as far as is known.
            chunk_size: Actions in a chunk.
        """
        if age is None:
            return True
        latency = self.ticks(latency_s)
        if latency >= chunk_size:
            return left <= 0
        horizon = min(self._horizon or chunk_size // 2, chunk_size)
        return age >= horizon or left <= min(latency + _SPARE_TICKS, chunk_size // 2)
