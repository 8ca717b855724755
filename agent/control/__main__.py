"""``python -m agent.control --config_path=…``: the control process, started by the supervisor.

Exit status: 0 shut down in order, 2 refused before anything moved, 143 told to end before the loop
ran (whatever had been taken was given back), else a crash.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from agent.commands.parsing import parse
from agent.config import RunConfig
from agent.control.build import build
from agent.control.loop import ControlLoop
from agent.control.priority import take_precedence
from agent.logs import configure
from agent.policy import atomic
from agent.supervisor.latch import STOPPED
from robots.errors import ArmadaError
from robots.registry import register_all

logger = logging.getLogger(__name__)

TURN_S = 1e-4
"""A thread that holds the interpreter (a camera plugin's, say) gives it back after this; Python's
own 5 ms, at each of the many reads of the vendor's SDK, make a tick of tens of milliseconds
(docs/arm.md)."""


class Orders:
    """Signals, from before there is a loop that could obey them."""

    def __init__(self) -> None:
        self._loop: ControlLoop | None = None
        self._stop: str | None = None
        self._end: int | None = None

    def listen(self) -> None:
        """Take signals from here on."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGUSR1, self._on_stop)
        # The supervisor has it wait until now; before, nobody could have remembered it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        # Ctrl-C in a terminal reaches the whole group; the supervisor turns it into an order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def hand_over(self, loop: ControlLoop) -> None:
        """From now on ``loop`` obeys; what was said before is said to it."""
        self._loop = loop
        if (reason := self._stop) is not None:
            # At the first tick, before anything moves: then there is somebody to tell.
            loop.soon(lambda: loop.stop(reason))
        if self._end is not None:
            # Somebody swallowed the exception.
            loop.arm.release()
            raise SystemExit(self._end)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if (loop := self._loop) is not None:
            loop.soon(lambda: loop.shutdown(signal.Signals(number).name))
        elif self._end is None:
            # Once: what is being given back must not be interrupted.
            self._end = 128 + number
            raise SystemExit(self._end)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        reason = f"local signal {signal.Signals(number).name}"
        if (loop := self._loop) is not None:
            loop.soon(lambda: loop.stop(reason))
        else:
            self._stop = reason


def main(argv: list[str]) -> int:
    """Build everything, run the loop, let go."""
    orders = Orders()
    orders.listen()
    configure(queued=True)
    register_all()
    try:
        config = parse(RunConfig, argv, prog="agent.control")
        logger.info("niceness %d", take_precedence())
        loop, peers = build(config)
    except ArmadaError as error:
        logger.error("%s", error)
        return 2
    orders.hand_over(loop)
    if (reason := _kept(config.state.latched_stop)) is not None:
        loop.stop(reason)
    sys.setswitchinterval(TURN_S)
    # What exists now lives as long as the process: never look at it again for garbage.
    gc.collect()
    gc.freeze()
    try:
        loop.run(peers)
    finally:
        if (stopped := loop.driver.stopped) is not None:
            # The supervisor keeps it too, unless it is what died.
            _keep(config.state.latched_stop, stopped)
    peers.close()
    return 0


def _kept(path: Path) -> str | None:
    """Why the arm was stopped when control ran last."""
    if STOPPED in os.environ:
        return os.environ[STOPPED]
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or "stopped before"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"a kept stop can't be read: {error.strerror}"


def _keep(path: Path, reason: str) -> None:
    with contextlib.suppress(OSError):
        if not path.exists():
            atomic.write_text(path, reason)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
