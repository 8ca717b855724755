"""A pseudo-terminal under a stable name: the cable between driver and emulated servos."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import tty
from pathlib import Path

_MAX_UNREAD_B = 1 << 16
"""What waits for a reader; a real adapter's buffer is smaller still, and drops the rest."""


class Line:
    """The cable; bytes go out at their time.

    Args:
        link: The name, a symbolic link to the terminal of the moment.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self.master = -1
        self._slave = -1
        self._queue: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()
        self.plug()

    @property
    def plugged(self) -> bool:
        return self.master >= 0

    def plug(self) -> None:
        if self.plugged:
            return
        # The slave stays open here: else the master reads EIO whenever the driver closes its end.
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        fresh = self._link.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._link)

    def unplug(self) -> None:
        if not self.plugged:
            return
        self._link.unlink(missing_ok=True)
        os.close(self.master)
        os.close(self._slave)
        self.master = self._slave = -1
        self._queue.clear()

    def receive(self) -> bytes:
        """What the driver has sent."""
        with contextlib.suppress(BlockingIOError, OSError):
            return os.read(self.master, 4096)
        return b""

    def send(self, data: bytes, at_s: float) -> None:
        """Send ``data`` when the clock says ``at_s``."""
        if data and self.plugged and sum(len(d) for *_, d in self._queue) < _MAX_UNREAD_B:
            heapq.heappush(self._queue, (at_s, next(self._order), data))

    def next_due_s(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    def flush(self, now_s: float) -> None:
        """Put what is due onto the wire."""
        while self.plugged and self._queue and self._queue[0][0] <= now_s:
            data = self._queue[0][2]
            try:
                sent = os.write(self.master, data)
            except BlockingIOError:
                # Nobody reads: on a real bus the bytes would be gone as well.
                heapq.heappop(self._queue)
                return
            due, order, _ = heapq.heappop(self._queue)
            if sent < len(data):
                heapq.heappush(self._queue, (due, order, data[sent:]))
