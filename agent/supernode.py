"""Flower's SuperNode on a robot host, in a process that ends when the SuperNode is of no use.

``python -m agent.supernode`` runs Flower's own ``flower-supernode`` inside. What differs from
running that script:

* It starts nothing by itself. The robot's own executor (:mod:`agent.federation.executor`) takes the
  tasks: with Flower's, the robot would run what the server sends.
* The port of its local API is a free one, chosen at each start: several agents share a host.
* When a handshake fails during a reconnect, Flower's loop returns and its process lives on, offline
  and "healthy" (1.39.0). Here it ends, and the supervisor starts it again.
* A loop that doesn't come round for minutes although the SuperLink listens ends too.
* A clock for which the SuperLink refuses the robot is named.

A SuperNode that was killed is refused with exit status 305 until its old heartbeat expires (about
58 s): the supervisor's back-off covers it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.federation.executor import RuntimeFiles
from agent.paths import StateDir
from agent.policy.atomic import replacing, write_text

OFFLINE = 75
"""Exit status after Flower's loop ended: EX_TEMPFAIL, try again."""

REFUSED = 2
"""The last line of the log says why."""

_DIAGNOSE = "diagnose"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SuperNodeConfig:
    """What a robot's SuperNode needs.

    Args:
        superlink: Fleet API of the SuperLink, host:port.
        name: The robot's name in its fleet.
        state_dir: The agent's state folder.
        dataset_root: The robot's episodes.
        root_certificates: CA file; empty: plaintext, for loopback, and no key is shown.
        server: The fleet's server, host:port, whose clock is compared; empty: none is.
        threads: Threads of local training; 0: half of the processors.
    """

    superlink: str
    name: str
    state_dir: Path
    dataset_root: Path
    root_certificates: str = ""
    server: str = ""
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
        f"--server={config.server}",
        f"--threads={config.threads}",
    ]
    if config.root_certificates:
        argv.append(f"--root_certificates={config.root_certificates}")
    return argv, flower_environment(config.state_dir)


def flower_environment(state_dir: Path) -> dict[str, str]:
    """For the SuperNode and its executor: Flower's home in the agent's state, and no telemetry."""
    return {
        "FLWR_HOME": str(StateDir(state_dir.resolve()).flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }


def write_node_config(args: argparse.Namespace) -> Path:
    """What the ClientApp finds in its context, as a file: Flower's own ``key=value`` words can't
    carry every path."""
    node = {
        "name": args.name,
        "state-dir": args.state_dir,
        "dataset-root": args.dataset_root,
        "threads": args.threads,
    }
    path = StateDir(Path(args.state_dir)).training / "node.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON's escapes are TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in node.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def flower_arguments(args: argparse.Namespace, port: int) -> list[str]:
    """The words for ``flower-supernode``."""
    from agent.federation.keys import ensure_key

    state = StateDir(Path(args.state_dir))
    tls = ["--insecure"]
    if args.root_certificates:
        key = ensure_key(state.node_key)
        tls = [
            f"--root-certificates={args.root_certificates}",
            f"--auth-supernode-private-key={key}",
        ]
    return [
        "--grpc-rere",
        *tls,
        f"--superlink={args.superlink}",
        "--isolation=process",
        f"--superexec-auth-secret-file={RuntimeFiles(state.flower).secret}",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--node-config={write_node_config(args)}",
    ]


def tell_executor(files: RuntimeFiles, port: int) -> None:
    """Where it finds the SuperNode that starts now, and what it shows there."""
    files.folder.mkdir(parents=True, exist_ok=True)
    with replacing(files.secret) as temporary:
        temporary.touch(0o600)
        temporary.write_text(secrets.token_hex(32), encoding="utf-8")
    write_text(files.address, json.dumps({"address": f"127.0.0.1:{port}", "pid": os.getpid()}))


def diagnose(server: str, root_certificates: str) -> str | None:
    """What ended the SuperNode, if it was this host's clock.

    Args:
        server: The fleet's server, host:port.
        root_certificates: CA file; empty: plaintext.
    """
    from agent.doctor import fleet
    from agent.doctor.check import Verdict

    for finding in fleet.server(server, root_certificates):
        if finding.part == "clock offset" and finding.verdict is Verdict.FAIL:
            clock = f"its clock is {finding.detail}"
            return f"the SuperLink refuses this robot: {clock}. {finding.remedy}"
    return None


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.supernode", description=__doc__)
    for name in ("superlink", "name", "state_dir", "dataset_root"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("root_certificates", "server"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Run until Flower's SuperNode ends; never returns."""
    from flwr.supernode.cli import flower_supernode

    from agent import logs
    from agent.federation.flower_runtime import before_exit, watch_loop
    from agent.federation.watchdog import Watchdog

    logs.configure()
    args = _parse(argv)
    # It writes its lines itself.
    logging.getLogger("flwr").propagate = False
    port = _free_port()
    sys.argv = ["flower-supernode", *flower_arguments(args, port)]
    tell_executor(RuntimeFiles(StateDir(Path(args.state_dir)).flower), port)
    watchdog = Watchdog(args.superlink, end=_end)
    watch_loop(watchdog.alive, watchdog.waits)
    watchdog.start()
    told = _told_to_end()
    # Flower ends itself by SIGINT, with status 0, when the SuperLink doesn't believe it.
    before_exit(lambda: None if told() else _ask_why(argv, args.server))
    with contextlib.suppress(SystemExit):
        flower_supernode()
    if told():
        _end(0)
    _ask_why(argv, args.server)


def _told_to_end() -> Callable[[], bool]:
    """Whether SIGTERM came, whoever handles it: Python notes each signal that it handles."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    seen = bytearray()

    def told() -> bool:
        with contextlib.suppress(BlockingIOError):
            seen.extend(os.read(reader, 4096))
        return signal.SIGTERM in seen

    return told


def _ask_why(argv: list[str], server: str) -> None:
    """In another program in this process: Flower's threads would end it within 5 s."""
    if not server:
        _end(OFFLINE)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "agent.supernode", _DIAGNOSE, *argv])


def _end(status: int) -> None:
    """At once: Flower's HTTP thread would keep this process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def explain(argv: list[str]) -> int:
    """Say why a SuperNode ended, if it was this host's clock; the exit status."""
    from agent import logs

    logs.configure()
    args = _parse(argv)
    why = diagnose(args.server, args.root_certificates)
    if why is None:
        return OFFLINE
    log.error("%s", why)
    return REFUSED


if __name__ == "__main__":
    if sys.argv[1:2] == [_DIAGNOSE]:
        sys.exit(explain(sys.argv[2:]))
    main(sys.argv[1:])
