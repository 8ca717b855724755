"""Flower's SuperNode on a robot host, in a process that ends when the SuperNode does.

``python -m agent.supernode`` runs Flower's own ``flower-supernode`` inside. Two things differ from
running that script:

* The port of its local API is a free one, chosen at each start: several agents share a host.
* When a handshake fails during a reconnect, Flower's loop returns and its process lives on, offline
  and "healthy" (1.39.0). Here it ends, and the supervisor starts it again.

A SuperNode that was killed is refused with exit status 305 until its old heartbeat expires (about
58 s): the supervisor's back-off covers it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_OFFLINE = 75
"""Exit status after Flower's loop returned by itself: EX_TEMPFAIL, try again."""


@dataclass(frozen=True, kw_only=True)
class SuperNodeConfig:
    """What a robot's SuperNode needs.

    Args:
        superlink: Fleet API of the SuperLink, host:port.
        name: The robot's name in its fleet.
        state_dir: The agent's state folder.
        dataset_root: The robot's episodes.
        root_certificates: CA file; empty: plaintext, for loopback.
        threads: Threads of local training; 0: half of the processors.
    """

    superlink: str
    name: str
    state_dir: Path
    dataset_root: Path
    root_certificates: str = ""
    threads: int = 0


def supernode_command(config: SuperNodeConfig) -> tuple[list[str], dict[str, str]]:
    """Command line and additional environment of a SuperNode."""
    argv = [
        sys.executable,
        "-m",
        "agent.supernode",
        f"--superlink={config.superlink}",
        f"--name={config.name}",
        f"--state_dir={config.state_dir.resolve()}",
        f"--dataset_root={config.dataset_root.resolve()}",
        f"--threads={config.threads}",
    ]
    if config.root_certificates:
        argv.append(f"--root_certificates={config.root_certificates}")
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        "FLWR_HOME": str(config.state_dir.resolve() / "training" / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        # Flower starts `flower-superexec` and `flwr-clientapp` by name.
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)]),
    }
    return argv, environment


def write_node_config(args: argparse.Namespace) -> Path:
    """What the ClientApp finds in its context, as a file: Flower's own ``key=value`` words can't
    carry every path."""
    node = {
        "name": args.name,
        "state-dir": args.state_dir,
        "dataset-root": args.dataset_root,
        "threads": args.threads,
    }
    path = Path(args.state_dir) / "training" / "node.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON's escapes are TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in node.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def flower_arguments(args: argparse.Namespace, port: int) -> list[str]:
    """The words for ``flower-supernode``."""
    tls = (
        f"--root-certificates={args.root_certificates}" if args.root_certificates else "--insecure"
    )
    return [
        "--grpc-rere",
        tls,
        f"--superlink={args.superlink}",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--node-config={write_node_config(args)}",
    ]


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.supernode", description=__doc__)
    for name in ("superlink", "name", "state_dir", "dataset_root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--root_certificates", default="")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Run until Flower's SuperNode ends; never returns."""
    from flwr.supernode.cli import flower_supernode

    args = _parse(argv)
    sys.argv = ["flower-supernode", *flower_arguments(args, _free_port())]
    flower_supernode()
    # Flower's HTTP thread would keep this process alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_OFFLINE)


if __name__ == "__main__":
    main(sys.argv[1:])
