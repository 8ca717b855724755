"""A SuperLink, a SuperExec and two SuperNodes, all real; the robots behind them train nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.federation.executor import executor_command
from agent.paths import StateDir
from agent.supernode import SuperNodeConfig, supernode_command
from agent.supervisor.child import Child, ChildSpec
from server.base import Base, import_base
from server.config import BasePolicyRef, ServerConfig
from server.events import TERMINAL, RoundEvent
from server.flower_control import FlowerControl
from server.processes import ensure_secret, superexec_spec, superlink_spec
from server.registry.releases import Releases
from server.rounds.rounds import Rounds
from tests.helpers import free_port, wait_until
from tests.server.deployment import START_S

ROOT = Path(__file__).parents[3]
ROBOTS = {"left": (1.0, 40), "right": (-0.5, 20)}
"""What each adds to every weight, and how many frames it says that took."""


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
            told = self.events(number)  # Read once: a second look may already see the end.
            for event in told:
                if event.kind == kind and data.items() <= event.data.items():
                    return event
            assert not any(event.kind in TERMINAL for event in told), told
            return None

        event = wait_until(there, timeout_s=300, what=f"{kind} {data} in round {number}")
        assert event is not None
        return event


@contextlib.contextmanager
def process(spec: ChildSpec) -> Iterator[None]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    child = Child(dataclasses.replace(spec, env={**spec.env, "PYTHONPATH": path}))
    child.start()
    try:
        yield
    finally:
        child.end(grace_s=10.0)


def supernode(config: ServerConfig, robot: str) -> list[ChildSpec]:
    """A robot's SuperNode and executor, as an agent starts them; its ClientApp is a test's."""
    state = StateDir(config.state.root / robot)
    state.create()
    told = SuperNodeConfig(
        superlink=config.superlink_address,
        name=robot,
        state_dir=state.root,
        dataset_root=state.default_dataset,
        threads=1,
    )
    argv, env = supernode_command(told)
    executor = [*executor_command(state.root), "--app=tests.server.rounds.robot:app"]
    return [
        ChildSpec(name="supernode", argv=argv, log=state.logs / "supernode.log", env=env),
        ChildSpec(name="executor", argv=executor, log=state.logs / "executor.log", env=env),
    ]


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
            stack.enter_context(process(spec))
        control = stack.enter_context(FlowerControl(config.control_address))
        rounds = Rounds(state.rounds, control)
        fleet = Link(config, control, rounds, base)
        for robot in ROBOTS:
            specs = supernode(config, robot)
            fleet.behave(robot)
            for spec in specs:
                stack.enter_context(process(spec))
        wait_until(control.reachable, timeout_s=START_S, what="the SuperLink answers")

        def poll() -> None:
            while not over.wait(0.3):
                rounds.poll()

        poller = threading.Thread(target=poll)
        poller.start()
        stack.callback(poller.join)
        stack.callback(over.set)
        yield fleet
