"""A robot's host without its arm: ``python -m benchmarks.federation.host --name=… …``.

Starts and restarts what ``armada run`` starts for a federation, from the same specs: SuperNode,
executor and trainer. It ends with whoever started it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import draccus

from agent.config import FederationConfig, PolicyRef, RunConfig
from agent.recorder.config import RecordConfig
from agent.supervisor.child import Child
from agent.supervisor.children import Children
from robots.sim import SO101SimConfig

_POLL_S = 0.2


def config_of(args: argparse.Namespace) -> RunConfig:
    """What its owner would have written."""
    return RunConfig(
        robot=SO101SimConfig(id=args.name),
        policy=PolicyRef(path=args.policy),
        task="as recorded",
        dataset=RecordConfig(root=args.dataset),
        federation=FederationConfig(
            superlink=args.superlink,
            server=args.server,
            root_certificates=args.ca,
            token_file=args.token_file,
        ),
        state_dir=args.state_dir,
    )


def main(argv: list[str]) -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("name", "state_dir", "dataset", "policy", "superlink", "server", "ca"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--token_file", required=True)
    config = config_of(parser.parse_args(argv))
    config.state.create()
    Path(config.state.config).write_text(draccus.dump(config), encoding="utf-8")
    over = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    specs = Children(config, ())
    children = [
        Child(spec)
        for spec in (specs.supernode(), specs.executor(), specs.trainer())
        if spec is not None
    ]
    for child in children:
        child.start()
    while not over.wait(_POLL_S):
        for child in children:
            child.poll()
            child.restart_when_due()
    for child in children:
        child.end(grace_s=3.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
