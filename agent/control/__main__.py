"""``python -m agent.control --config_path=…``: the control process, started by the supervisor.

Exit status: 0 shut down in order, 2 refused before anything moved, else a crash.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from types import FrameType

from agent.commands.parsing import parse
from agent.config import RunConfig
from agent.control.build import build
from agent.logs import configure
from robots.errors import ArmadaError
from robots.registry import register_all

logger = logging.getLogger(__name__)

TURN_S = 1e-4
"""A thread that holds the interpreter (a camera plugin's, say) gives it back after this; Python's
own 5 ms, at each of the many reads of the vendor's SDK, make a tick of tens of milliseconds
(docs/arm.md)."""


def main(argv: list[str]) -> int:
    """Build everything, run the loop, let go."""
    configure(queued=True)
    register_all()
    try:
        config = parse(RunConfig, argv, prog="agent.control")
        loop, peers = build(config)
    except ArmadaError as error:
        logger.error("%s", error)
        return 2

    def on_term(number: int, frame: FrameType | None) -> None:
        loop.soon(lambda: loop.shutdown(signal.Signals(number).name))

    def on_stop(number: int, frame: FrameType | None) -> None:
        loop.soon(lambda: loop.stop(f"local signal {signal.Signals(number).name}"))

    latched = config.state.latched_stop
    if latched.is_file():
        loop.stop(latched.read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGUSR1, on_stop)
    # Ctrl-C in a terminal reaches the whole group; the supervisor turns it into an order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):
        os.nice(-5)
    sys.setswitchinterval(TURN_S)
    # What exists now lives as long as the process: never look at it again for garbage.
    gc.collect()
    gc.freeze()
    loop.run(peers)
    peers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
