"""Processes that begin with what a recorder imports, as the supervisor's do: seconds less each."""

from __future__ import annotations

import multiprocessing
import sys

from agent.recorder.__main__ import main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.agent.recorder.frames", "agent.recorder.__main__", "agent.recorder.saver"]
)


def run_recorder(argv: list[str]) -> None:
    """As ``python -m agent.recorder``."""
    sys.exit(main(argv))
