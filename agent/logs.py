"""Logging of the processes of a robot host: one line a record on stderr, which the supervisor
sends to a file of the process's own."""

from __future__ import annotations

import logging


def configure(level: int = logging.INFO) -> None:
    """Set up the root logger of this process."""
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # One line a request is of no use in an agent's log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
