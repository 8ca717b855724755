"""Processes that begin with LeRobot imported, so that a hundred starts take no hour."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from agent.recorder.__main__ import main
from agent.supervisor.children import RECORDER_NICE

# That LeRobot decodes by PyAV where torchcodec can't be loaded, at length in each of them.
logging.getLogger("lerobot.utils.import_utils").setLevel(logging.ERROR)

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [f"benchmarks.recording.{name}" for name in ("forks", "lerobot", "look", "ours")]
)


def run_recorder(argv: list[str]) -> None:
    """``python -m agent.recorder`` at the priority that the supervisor gives it."""
    os.setpriority(os.PRIO_PROCESS, 0, RECORDER_NICE)
    sys.exit(main(argv))


def ask(target: Any, *args: Any) -> Any:
    """What ``target(*args)`` returns in a process of its own, which nothing of LeRobot's caches
    outlives."""
    here, there = FORKS.Pipe()
    process = FORKS.Process(target=_answer, args=(there, target, args))
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()


def _answer(there: Connection, target: Any, args: tuple[Any, ...]) -> None:
    there.send(target(*args))
