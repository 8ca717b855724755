"""Processes that begin with LeRobot imported, so that a hundred starts take no hour."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from agent.recorder.__main__ import main
from agent.supervisor.children import RECORDER_NICE

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["benchmarks.recording.forks", "benchmarks.recording.lerobot"])


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
