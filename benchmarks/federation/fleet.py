"""A server with TLS and registered keys, and the hosts of its robots."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from agent.federation.keys import ensure_key, public_line
from agent.fleet import FleetClient
from agent.paths import StateDir
from agent.supervisor.child import Child, ChildSpec
from benchmarks.federation.network import Cable
from benchmarks.inference.servers import free_port
from server.broker import broker_spec
from server.certs import make_certs
from server.nodes import Nodes
from server.paths import ServerState
from server.tokens import Tokens

_START_S = 180.0
_ROOT = Path(__file__).parents[2]
"""A peer's ServerApp is imported from here."""

_SERVER = "import sys; from server.commands.server import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Fleet:
    """What runs.

    Args:
        root: Folder for everything.
        host: Address that the robots reach the server at.
        policy: The base policy.
    """

    root: Path
    host: str
    policy: Path
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        certs = make_certs(self.root / "certs", [self.host])
        self.ca = str(certs.ca)
        self.port, self.superlink_port, self.control_port = free_port(), free_port(), free_port()
        self.state = ServerState(self.root / "server")
        self.state.create()
        broker = free_port()
        self.children["broker"] = Child(broker_spec(self.root, "127.0.0.1", broker))
        self._argv = [
            sys.executable,
            "-c",
            _SERVER,
            f"--policy.path={self.policy}",
            "--broker.host=127.0.0.1",
            f"--broker.port={broker}",
            f"--state_dir={self.state.root}",
            f"--host={self.host}",
            f"--port={self.port}",
            f"--superlink_port={self.superlink_port}",
            f"--control_port={self.control_port}",
            f"--tls_cert={certs.cert}",
            f"--tls_key={certs.key}",
            f"--tls_ca={self.ca}",
        ]

    def start_server(self) -> None:
        """``armada server``, until it is ready."""
        log = self.root / "server.log"
        env = {"PYTHONPATH": str(_ROOT)}
        spec = ChildSpec(name="server", argv=self._argv, log=log, env=env)
        self.children["server"] = Child(spec)
        for child in self.children.values():
            child.start()
        wait(self.state.ready.exists, _START_S, f"the server is ready: see {log}")

    def start_robot(self, name: str, dataset: Path, cable: Cable | None = None) -> None:
        """Register its key, and start its host, on the other end of the cable if there is one."""
        state = StateDir(self.root / name)
        state.create()
        line = public_line(ensure_key(state.node_key), name)
        Nodes(self.state.registered).add(name, line)
        token = state.root / "token"
        token.write_text(Tokens(self.state.robot_tokens).add(name))
        argv = [
            *(cable.inside if cable is not None else []),
            sys.executable,
            "-m",
            "benchmarks.federation.host",
            f"--name={name}",
            f"--state_dir={state.root}",
            f"--dataset={dataset}",
            f"--policy={self.policy}",
            f"--superlink={self.host}:{self.superlink_port}",
            f"--server={self.host}:{self.port}",
            f"--ca={self.ca}",
            f"--token_file={token}",
        ]
        log = self.root / f"{name}.log"
        self.children[name] = Child(
            ChildSpec(name=name, argv=argv, log=log, env={"PYTHONPATH": str(_ROOT)})
        )
        self.children[name].start()

    def operator(self) -> FleetClient:
        """A client that may start rounds."""
        if not hasattr(self, "_token"):
            self._token = Tokens(self.state.operator_tokens).add("operator")
        return FleetClient(f"{self.host}:{self.port}", self.ca, token=self._token)

    def pids(self, part: str) -> list[int]:
        """Processes of a part: ``superlink``, ``superexec``, ``serverapp``; ``supernode``,
        ``executor``, ``trainer`` (the one that trains), ``watcher`` (the one that starts it)."""
        marks = {
            "superlink": "flower-superlink",
            "superexec": "flower-superexec",
            "serverapp": "flwr-serverapp",
            "supernode": "agent.supernode",
            "executor": "agent.federation.executor",
            "trainer": "agent.federation.trainer.work",
            "watcher": "-m agent.federation.trainer --",
        }
        found = []
        for child in self.children.values():
            if child.pid is None:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(child.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if marks[part] in " ".join(process.cmdline()):
                            found.append(process.pid)
        return sorted(found)

    def rounds(self) -> list[dict[str, Any]]:
        """Of each round: its events."""
        folders = sorted(p for p in self.state.rounds.iterdir() if p.name.isdigit())
        told = []
        for folder in folders:
            path = folder / "events.jsonl"
            lines = path.read_text().splitlines() if path.exists() else []
            told.append({"id": int(folder.name), "events": [json.loads(line) for line in lines]})
        return told

    def end(self) -> None:
        for child in reversed(list(self.children.values())):
            child.end(grace_s=15.0)


@contextlib.contextmanager
def fleet(
    root: Path, host: str, policy: Path, robots: Sequence[tuple[str, Path, Cable | None]]
) -> Iterator[Fleet]:
    """Up, and down again."""
    whole = Fleet(root, host, policy)
    try:
        whole.start_server()
        for name, dataset, cable in robots:
            whole.start_robot(name, dataset, cable)
        yield whole
    finally:
        whole.end()


def wait(condition: Any, limit_s: float, what: str) -> None:
    """Raises: TimeoutError."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)
