"""Whether the SuperLink still answers, asked over its own HTTP API.

A SuperLink that hangs holds its ports and is alive for whoever looks at processes only. Flower's
gRPC health server answers from a thread of its own, whatever the API does; the API's ``/health`` is
answered by the loop that serves runs and ServerApps. No thread is started here: the supervisor, who
asks, must stay fit to fork.
"""

from __future__ import annotations

import ssl
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

_EVERY_S = 5.0
_ANSWER_S = 2.0


class Health:
    """Counts what isn't answered.

    Args:
        address: host:port of the SuperLink's HTTP API.
        root_certificates: CA of its certificate; None: plaintext.
        silent_s: How long it may be silent. It starts within 6 s on an idle host, and a loaded one
            is given time.
        every_s: Between two questions.
    """

    def __init__(
        self,
        address: str,
        root_certificates: Path | None,
        *,
        silent_s: float = 60.0,
        every_s: float = _EVERY_S,
    ) -> None:
        scheme = "http" if root_certificates is None else "https"
        self._url = f"{scheme}://{address}/health"
        context = ssl.create_default_context(
            cafile=str(root_certificates) if root_certificates else None
        )
        # No proxy of the environment: it is this host's own loopback.
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
        self._silent_s = silent_s
        self._every_s = every_s
        self._asked = self._heard = time.monotonic()

    def started(self) -> None:
        """It has just been started."""
        self._heard = time.monotonic()

    def hangs(self) -> bool:
        """Whether it has been silent for too long; asks now and then."""
        now = time.monotonic()
        if now - self._asked < self._every_s:
            return False
        self._asked = now
        if self.answers():
            self._heard = time.monotonic()
        return time.monotonic() - self._heard > self._silent_s

    def answers(self) -> bool:
        """Ask once."""
        try:
            with self._opener.open(self._url, timeout=_ANSWER_S) as response:
                return bool(response.status == 200)
        except (OSError, HTTPException):
            # The latter: it answers, but not as a SuperLink would.
            return False
