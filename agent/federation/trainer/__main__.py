"""``python -m agent.federation.trainer --state_dir=…``: the trainer, started by the supervisor."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from types import FrameType

from agent.logs import configure
from agent.supervisor.forkable import stay_forkable
from robots.errors import ArmadaError

_POLL_S = 0.5
_IDLE_S = 2.0
"""Between two looks while there is no job."""

logger = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Train until told to end; 2: another trainer works on this robot's jobs."""
    configure()
    # Started afresh, it may still fork those that train.
    stay_forkable()
    from agent.federation.jobs.store import JobStore
    from agent.federation.trainer.trainer import Trainer
    from agent.training.home import Home

    parser = argparse.ArgumentParser(description="A robot's trainer; see `armada run`.")
    for name in ("state_dir", "name", "dataset_root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--checkpoint_s", type=float, default=30.0)
    args = parser.parse_args(argv)
    node = {
        "name": args.name,
        "state-dir": args.state_dir,
        "dataset-root": args.dataset_root,
        "threads": args.threads,
    }
    told_to_end = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told_to_end.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        store = JobStore(Home.of(node).state.jobs)
        lock = store.lock()
        store.sweep()
        trainer = Trainer(node, checkpoint_s=args.checkpoint_s)
    except ArmadaError as error:
        logger.error("%s", error)
        return 2
    try:
        while not told_to_end.is_set():
            busy = trainer.poll()
            told_to_end.wait(_POLL_S if busy else _IDLE_S)
    finally:
        trainer.end()
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
