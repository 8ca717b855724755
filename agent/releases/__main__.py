"""Takes a release: ``python -m agent.releases --state_dir=… --server=…``, in a process of its own,
niced. It prints one JSON line an event, and ``{"event": "alive"}`` after each episode that a model
was measured on.

======  ========================================================================================
status  means
======  ========================================================================================
0       promoted, or nothing to do
2       it can't be taken, now or later: not signed, changed, of another base, or no such release
3       refused: worse on this robot's episodes, or rolled back before
4       left alone: the robot is pinned to what it has, or was while this ran
5       the candidate waits until there are episodes enough to compare it on
6       it passed, and waits for ``armada models promote`` since ``--releases.auto=false``
75      the server couldn't be reached, the disk was full, another model became current while this
        one was compared, or something unforeseen, such as too little memory: the same may succeed
        later
======  ========================================================================================
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from agent.fleet import FleetClient, UnreachableError
from agent.paths import StateDir
from agent.releases.consider import consider
from agent.releases.ledger import PinnedError
from agent.releases.outcome import FAILED, LATER, PINNED, REFUSED
from agent.releases.pull import GivenUpError, Puller
from agent.releases.signature import configured_keys
from agent.training.home import Home
from robots.errors import ArmadaError


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.releases")
    parser.add_argument("--state_dir", required=True, type=Path)
    parser.add_argument("--server", required=True, help="host:port of the fleet's gRPC service")
    parser.add_argument("--version", type=int, default=0, help="0: the latest")
    parser.add_argument(
        "--announced", action="store_true", help="the version is a notice's: never go back to it"
    )
    parser.add_argument("--dataset-root", "--dataset_root", type=Path, default=None)
    parser.add_argument("--root-certificates", "--root_certificates", default="")
    parser.add_argument(
        "--release-key", "--release_key", default="", help="a key, or a file of keys"
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Pull and consider one release; the exit status."""
    args = _parse(argv)
    os.nice(10)

    def emit(kind: str, **data: Any) -> None:
        line = json.dumps({"event": kind, "time": time.time(), **data})
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    about = {"version": args.version} if args.version else {}
    try:
        home = _home(args)
        keys = configured_keys(args.release_key or home.release_key)
        ca = args.root_certificates or home.root_certificates
        with FleetClient(args.server, ca, token=home.token()) as client:
            puller = Puller(client, home, emit, keys=keys)
            model = puller.pull(args.version, announced=args.announced)
            return consider(home, model, emit, alive=lambda: emit("alive"))
    except PinnedError as error:
        emit("release_ignored", reason=str(error), **about)
        return PINNED
    except GivenUpError as error:
        emit("release_ignored", reason=str(error), **about)
        return REFUSED
    except (UnreachableError, OSError) as error:
        emit("release_delayed", reason=str(error), **about)
        return LATER
    except ArmadaError as error:
        emit("release_failed", reason=str(error), **about)
        return FAILED
    except Exception as error:
        # Whatever it is, the server hears of it; a traceback stays on this host.
        logging.getLogger(__name__).exception("unforeseen")
        emit("release_failed", reason=f"{type(error).__name__}: {error}", **about)
        return LATER


def _home(args: argparse.Namespace) -> Home:
    default = StateDir(args.state_dir).default_dataset
    return Home.of(
        {
            "name": args.state_dir.name,
            "state-dir": str(args.state_dir),
            "dataset-root": str(args.dataset_root or default),
        }
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(main(sys.argv[1:]))
