"""Whether the SuperNode's loop still comes round.

Flower's own ``/health`` answers from another thread, whatever the loop does. Here it counts what
the SuperLink answered. Silence alone says nothing: the link may be down, and Flower waits for it
with growing pauses; or the ClientApp may train. It is a fault only while the loop should be asking
and the SuperLink's port takes connections.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

SILENT_S = 180.0
"""Flower reconnects within 40 s (measured); a call that hangs is over after its keepalive."""

_LOOK_S = 5.0
_CONNECT_S = 5.0
_STUCK = 75

log = logging.getLogger(__name__)


class Watchdog:
    """A thread that ends the process.

    Args:
        superlink: host:port.
        end: Ends this process with a status.
        silent_s: For how long the loop may be silent.
        look_s: Between two looks.
    """

    def __init__(
        self,
        superlink: str,
        *,
        end: Callable[[int], None],
        silent_s: float = SILENT_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._superlink = superlink
        self._end = end
        self._silent_s = silent_s
        self._look_s = look_s
        self._heard: float | None = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> None:
        """The SuperLink has answered."""
        self._heard = time.monotonic()

    def waits(self) -> None:
        """The loop waits for the ClientApp: until ``alive`` nothing is expected of it."""
        self._heard = None

    def stuck(self) -> bool:
        """Whether it has been silent for too long without a reason."""
        heard = self._heard
        if heard is None or time.monotonic() - heard < self._silent_s:
            return False
        if not self._listens():
            # The link is down: the time for the loop to notice that it is back begins anew.
            self.alive()
            return False
        return True

    def _listens(self) -> bool:
        host, _, port = self._superlink.rpartition(":")
        with contextlib.suppress(OSError):
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
            return True
        return False

    def _run(self) -> None:
        while not self.stuck():
            time.sleep(self._look_s)
        log.error(
            "the SuperNode has been silent for %.0f s although %s listens: it starts again",
            self._silent_s,
            self._superlink,
        )
        self._end(_STUCK)
