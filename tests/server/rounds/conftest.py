"""A SuperLink, a SuperExec and two SuperNodes, all real; the robots behind them train nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_files

from server import bundle
from server.base import Base, import_base
from server.bundle import Bundle
from server.config import BasePolicyRef, ServerConfig
from server.events import RoundEvent
from server.flower_control import FlowerControl
from server.processes import ensure_secret, flower_environment, superexec_spec, superlink_spec
from server.registry.releases import Releases
from server.rounds.rounds import Rounds
from tests.helpers import free_port, wait_until

ROOT = Path(__file__).parents[3]
ROBOTS = {"left": (1.0, 40), "right": (-0.5, 20)}
"""What each adds to every weight, and how many frames it says that took."""


class Control(FlowerControl):
    """Starts runs whose robots are those of ``tests.server.rounds.robot``."""

    def start_run(self, bundle: Bundle, config: Any, **more: Any) -> int:
        return super().start_run(_bundle(), config, **more)


def _bundle() -> Bundle:
    text = bundle._PYPROJECT.decode()
    app = next(line for line in text.splitlines() if line.startswith("clientapp"))
    changed = text.replace(app, 'clientapp = "tests.server.rounds.robot:app"')
    content, _ = build_fab_from_files({"pyproject.toml": changed.encode()})
    return Bundle(hashlib.sha256(content).hexdigest(), content)


@dataclass
class Link:
    """What a test has of the fleet."""

    config: ServerConfig
    control: FlowerControl
    rounds: Rounds
    base: Base

    @property
    def releases(self) -> Releases:
        return Releases(self.config.state.releases)

    def home(self, robot: str) -> Path:
        return self.config.state.root / robot

    def behave(self, robot: str, **behaviour: Any) -> None:
        step, samples = ROBOTS[robot]
        usual = {"step": step, "samples": samples, "releases": str(self.config.state.releases)}
        path = self.home(robot) / "behaviour.json"
        hidden = path.with_suffix(".new")
        hidden.write_text(json.dumps(usual | behaviour))
        hidden.replace(path)

    def heard(self, robot: str) -> list[dict[str, Any]]:
        path = self.home(robot) / "heard.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, number: int) -> list[RoundEvent]:
        return self.rounds._folder(number).events.read()

    def wait_for(self, number: int, kind: str, **data: Any) -> RoundEvent:
        """The first event of this kind that says this; it fails when the round ended without."""

        def there() -> RoundEvent | None:
            told = self.events(number)
            for event in told:
                if event.kind == kind and data.items() <= event.data.items():
                    return event
            assert not self.rounds.get(number).over, told
            return None

        event = wait_until(there, timeout_s=300, what=f"{kind} {data} in round {number}")
        assert event is not None
        return event


@contextlib.contextmanager
def process(
    argv: Sequence[str], log: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with log.open("ab") as file:
        child = subprocess.Popen(
            argv,
            stdout=file,
            stderr=file,
            env={**os.environ, **env, "PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(10)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def supernode(config: ServerConfig, robot: str) -> tuple[list[str], dict[str, str]]:
    home = config.state.root / robot
    home.mkdir(exist_ok=True)
    node = home / "node.toml"
    node.write_text(f"name = {json.dumps(robot)}\nhome = {json.dumps(str(home))}\n")
    argv = [
        str(Path(sys.executable).parent / "flower-supernode"),
        "--grpc-rere",
        "--insecure",
        f"--superlink={config.superlink_address}",
        "--host=127.0.0.1",
        f"--port={free_port()}",
        f"--node-config={node}",
    ]
    return argv, flower_environment(config) | {"FLWR_HOME": str(home / "flower")}


@pytest.fixture(scope="module")
def link(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    root = tmp_path_factory.mktemp("rounds")
    config = ServerConfig(
        policy=BasePolicyRef(path=str(tiny_policy)),
        state_dir=str(root),
        port=free_port(),
        superlink_port=free_port(),
        control_port=free_port(),
    )
    state = config.state
    state.create()
    base = import_base(str(tiny_policy), state.base)
    ensure_secret(state.secret)
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        for spec in (superlink_spec(config), superexec_spec(config)):
            env = {key: value for key, value in spec.env.items() if value is not None}
            stack.enter_context(process(spec.argv, spec.log, env))
        control = stack.enter_context(Control(config.control_address))
        rounds = Rounds(state.rounds, control)
        fleet = Link(config, control, rounds, base)
        for robot in ROBOTS:
            argv, env = supernode(config, robot)
            fleet.behave(robot)
            stack.enter_context(process(argv, state.logs / f"{robot}.log", env))
        wait_until(control.reachable, timeout_s=60, what="the SuperLink answers")

        def poll() -> None:
            while not over.wait(0.3):
                rounds.poll()

        poller = threading.Thread(target=poll)
        poller.start()
        stack.callback(poller.join)
        stack.callback(over.set)
        yield fleet
