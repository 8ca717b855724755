"""Trainers that begin with what a training imports, as the supervisor's does: seconds less each."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

from agent.supervisor.forkable import stay_forkable

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.agent.federation.forks", "agent.federation.trainer.work"])

# In the server that forks, before it imports anything heavy.
stay_forkable()


def run_trainer(argv: list[str], log: Path) -> None:
    """As ``python -m agent.federation.trainer``."""
    from agent.federation.trainer.__main__ import main

    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    sys.exit(main(argv))
