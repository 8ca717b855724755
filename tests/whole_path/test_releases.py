"""A release from the server's disk to the arm, and what the robot made of it back at the server:
an agent as users start it, a real broker, the real registry."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.fleet import FleetClient
from agent.ipc import connect
from agent.paths import StateDir
from agent.policy.init import build_policy
from agent.policy.store import ModelStore
from robots.errors import LinkError
from server.announce import Announcer
from server.base import Base, import_base
from server.config import ServerBrokerConfig, ServerConfig
from server.line import BrokerLine
from server.registry.releases import Releases
from server.robots.decisions import Decisions
from server.robots.listen import RobotListener
from server.robots.roster import Roster
from server.rounds.rounds import Rounds
from server.schedule.book import Book
from server.service import serve
from server.whole import WholeService
from tests.datasets import CAMERA, JOINTS, SIZE, make_dataset
from tests.helpers import free_port, wait_until
from tests.mqtt import HOST, Broker

FPS = 25
CHUNK = 30
"""Ticks that a chunk of the tiny policy answers for."""

_BIAS = "model.action_out_proj.bias"


@dataclass
class Server:
    """All of the fleet process but what runs rounds."""

    address: str
    releases: Releases
    base: Base
    announcer: Announcer

    def release(self, push: float, *, spoil: bool = False) -> dict[str, Any]:
        """A release whose policy pushes each joint away by so much; announced."""
        tensors = self.base.trainable()
        tensors[_BIAS] = tensors[_BIAS] + push
        manifest = self.releases.add(
            tensors, self.base, run=1, round_id=1, server_round=1,
            participants=[{"robot": "left", "node": "1", "samples": 5}], metrics={},
        )  # fmt: skip
        if spoil:
            path = self.releases.folder(manifest["version"]) / "manifest.json"
            data = bytearray(path.read_bytes())
            data[data.index(b'"samples"') + 2] ^= 1
            path.write_bytes(data)
        wait_until(lambda: self.announcer._line.connected, what="the server's line is up")
        self.announcer.announce()
        return manifest

    def decided(self, version: int, event: str) -> dict[str, Any]:
        """A robot's decision, as an operator asks the server for it."""

        def found() -> dict[str, Any] | None:
            with FleetClient(self.address) as client:
                for entry in client.decisions("left", version):
                    if entry.event == event:
                        return {"cause": entry.cause, **json.loads(entry.data_json)}
            return None

        decision = wait_until(found, timeout_s=500, what=f"{event} of release {version}")
        assert decision is not None
        return decision


@dataclass
class Robot:
    state: StateDir
    log: Path
    acted: Counter[str] = field(default_factory=Counter)
    """Model → ticks that acted on it."""

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.state.models)

    def listen(self, over: threading.Event) -> None:
        channel = None
        while channel is None and not over.wait(0.1):
            with contextlib.suppress(LinkError):
                channel = connect(self.state.control_socket)
        if channel is None:
            return
        channel.send("hello", role="cli", pid=os.getpid(), trace=True)
        while not over.is_set():
            for message in channel.wait(0.1):
                if message.kind == "tick" and message["origin"] is not None:
                    self.acted[message["origin"]["digest"]] += 1
        channel.close()


def calm(path: Path) -> Path:
    """A policy that holds its arm in the middle of its ranges: noise of a tenth of a degree."""
    spread = {"mean": [0.0] * (len(JOINTS) - 1) + [50.0], "std": [0.1] * len(JOINTS)}
    return build_policy(
        path, size="tiny", cameras={CAMERA: (SIZE, SIZE)}, action_names=JOINTS,
        stats={"observation.state": spread, "action": spread},
    )  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    broker = Broker(tmp_path).start()
    config = ServerConfig(
        state_dir=str(tmp_path / "server"),
        port=free_port(),
        broker=ServerBrokerConfig(host=HOST, port=broker.port),
    )
    config.state.create()
    releases = Releases(config.state.releases)
    roster = Roster(tmp_path / "statuses.json")
    decisions = Decisions(tmp_path / "decisions.jsonl")
    listener = RobotListener(config.fleet, roster, decisions)
    rounds = Rounds(config.state.rounds, None)  # type: ignore[arg-type]
    service = serve(
        WholeService(rounds, releases, roster, decisions, Book(tmp_path / "schedules")),
        config.address,
        None,
    )
    base = import_base(str(calm(tmp_path / "policy")), tmp_path / "base")
    with BrokerLine(config, listener.topics, listener.hear) as line:
        yield Server(config.address, releases, base, Announcer(config, releases, line))
    service.stop(None).wait()
    broker.end()


@pytest.fixture
def robot(server: Server, tmp_path: Path) -> Iterator[Robot]:
    robot = Robot(StateDir(tmp_path / "left"), tmp_path / "log")
    command = [
        *(sys.executable, "-m", "agent.cli", "run", "--robot.type=so101_sim"),
        f"--robot.id=left{os.getpid()}",
        "--name=left",
        f"--robot.cameras={{{CAMERA}: {{type: so101_scene, width: {SIZE}, height: {SIZE}}}}}",
        f"--policy.path={tmp_path / 'policy'}",
        "--task=reach",
        "--return_to_initial_position=false",
        f"--fps={FPS}",
        f"--broker.host={HOST}",
        f"--broker.port={server.announcer._line._address[1]}",
        f"--federation.server={server.address}",
        "--releases.probation_s=3600",
        f"--state_dir={robot.state.root}",
    ]
    over = threading.Event()
    ear = threading.Thread(target=robot.listen, args=(over,))
    with robot.log.open("wb") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        ear.start()
        yield robot
    finally:
        over.set()
        ear.join()
        agent.send_signal(signal.SIGTERM)
        agent.wait(150)


@pytest.mark.timeout(1800)
def test_releases_earn_their_place_and_the_server_sees_it(server: Server, robot: Robot) -> None:
    base = server.base.digest
    wait_until(lambda: robot.acted[base] > 3 * FPS, timeout_s=500, what="the arm is driven")

    # One that passes, since there are no episodes to compare it on, and drives against the guard.
    wild = server.release(1e4)
    decision = server.decided(1, "release_promoted")
    assert decision["verdict"] == "too few episodes"
    decision = server.decided(1, "release_rolled_back")
    assert decision["cause"].startswith("the guard changed its actions ")
    usual, window = decision["usual"], decision["window"]
    assert window["trips"] / window["ticks"] > 0.5 > 5 * usual["trips"] / usual["ticks"]
    assert window["ticks"] <= CHUNK, "within one chunk"
    assert robot.store.current is not None
    assert robot.store.current.digest == base

    def base_drives() -> int:
        """Ticks that acted on the wild one, once the one before has driven for a second more."""
        driven = robot.acted[base]
        wait_until(lambda: robot.acted[base] > driven + FPS, what="the model before drives")
        return robot.acted[wild["digest"]]

    wait_until(lambda: robot.acted[wild["digest"]], what="that is seen here")
    assert base_drives() == base_drives(), "and never again"

    # One that is worse on the robot's episodes, now that it has some.
    make_dataset(robot.state.default_dataset, episodes=21, frames=8)
    server.release(2e4)
    decision = server.decided(2, "release_refused")
    assert decision["cause"].endswith("worse on 3 held-out episodes, 2.0% is let through")
    assert decision["error_candidate"] > decision["error_current"]

    # One whose manifest has one bit changed.
    server.release(0.0, spoil=True)
    decision = server.decided(3, "release_failed")
    assert "signature" in decision["cause"], decision

    assert robot.store.current.digest == base
    with FleetClient(server.address) as client:
        (known,) = client.robots()
    assert (known.name, known.state, known.release) == ("left", "running", 0)
    assert known.last_decision.startswith("release_failed")
