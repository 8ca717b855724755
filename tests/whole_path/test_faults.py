"""SIGKILL to anything but the control loop never stops it; each part comes back and says so.
(Control itself: test_stops.py and test_downs.py.)

One server (SuperLink, broker) and one agent on an emulated arm, all as users start them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.commands.stop import order
from agent.link.operator import fleet_status, send_command
from agent.paths import StateDir
from agent.policy.init import build_policy
from agent.policy.store import ModelStore
from robots.emulator.joints import NAMES
from tests.helpers import free_port, wait_until

pytestmark = pytest.mark.timeout(900)

TASK = "reach the red goal"


@dataclass
class Host:
    """A running server and agent."""

    folder: Path
    broker: int
    agent: subprocess.Popen[bytes]

    @property
    def state(self) -> StateDir:
        return StateDir(self.folder / "arm")

    def status(self) -> dict[str, Any]:
        """Of the control loop, over its own socket."""
        status: dict[str, Any] = order(self.state, "status", {}, timeout_s=30)
        return status

    def events(self, kind: str, text: str = "") -> list[dict[str, Any]]:
        told = self.state.events.read_text() if self.state.events.is_file() else ""
        # The last line may be half written.
        found = [json.loads(line) for line in told.split("\n")[:-1]]
        return [e for e in found if e["event"] == kind and text in e["cause"]]

    def child(self, module: str) -> int:
        """Pid of a process of the agent."""
        for process in psutil.Process(self.agent.pid).children(recursive=True):
            if module in process.cmdline():
                return process.pid
        raise AssertionError(f"no process runs {module}")

    def server(self) -> dict[str, Any]:
        ready: dict[str, Any] = json.loads((self.folder / "server" / "server.json").read_text())
        return ready


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("faults")
    names = [f"{name}.pos" for name in NAMES]
    base = build_policy(
        folder / "base", size="tiny", cameras={"front": (96, 96)}, action_names=names
    )
    broker, server, superlink, control = (free_port() for _ in range(4))
    processes = []

    def start(name: str, *words: str) -> subprocess.Popen[bytes]:
        log = (folder / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "agent.cli", *words]
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        processes.append(process)
        return process

    start(
        "server",
        "server",
        f"--policy.path={base}",
        f"--state_dir={folder / 'server'}",
        f"--broker.port={broker}",
        f"--port={server}",
        f"--superlink_port={superlink}",
        f"--control_port={control}",
    )
    robot_id = f"faults{os.getpid()}"
    agent = start(
        "agent",
        "run",
        "--robot.type=so101_sim",
        f"--robot.id={robot_id}",
        "--teleop.type=scripted_reach",
        f"--teleop.id={robot_id}",
        "--name=arm",
        "--fps=20",
        f"--task={TASK}",
        f"--policy.path={base}",
        f"--state_dir={folder / 'arm'}",
        "--dataset.episode_time_s=2",
        "--dataset.reset_time_s=0.2",
        "--inference.threads=1",
        "--broker.host=127.0.0.1",
        f"--broker.port={broker}",
        f"--federation.superlink=127.0.0.1:{superlink}",
        f"--federation.server=127.0.0.1:{server}",
        "--training.while_driving=continue",
    )
    running = Host(folder, broker, agent)
    try:
        wait_until(running.state.control_socket.exists, timeout_s=90, what="control listens")
        wait_until(lambda: running.events("policy_ready"), timeout_s=120, what="a policy is ready")
        wait_until(lambda: running.events("link_up"), timeout_s=120, what="the link is up")
        yield running
    finally:
        for process in reversed(processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(150)


def goes_on(host: Host, before: dict[str, Any]) -> None:
    """The same control process, and it ticks."""
    wait_until(lambda: host.status()["ticks"] > before["ticks"] + 20, what="ticks go on")
    after = host.status()
    assert after["pid"] == before["pid"], "control was restarted"
    assert after["state"] == "running"


def test_the_policy_worker(host: Host) -> None:
    send_command("127.0.0.1", host.broker, "default", "arm", "source", {"name": "policy"})
    wait_until(lambda: host.status()["driven_ticks"] > 0, what="the policy drives")
    before = host.status()
    os.kill(host.child("agent.policy.worker"), signal.SIGKILL)
    goes_on(host, before)
    wait_until(lambda: host.events("policy_lost"), what="the loss is said")
    wait_until(lambda: host.events("process_ended", "SIGKILL"), what="its end is said")
    wait_until(lambda: len(host.events("policy_ready")) >= 2, timeout_s=120, what="it is back")
    chunks = host.status()["chunks"]
    wait_until(lambda: host.status()["chunks"] > chunks, timeout_s=60, what="chunks come again")


def test_the_recorder_in_the_middle_of_an_episode(host: Host) -> None:
    order(host.state, "source", {"name": "teleop"})
    order(host.state, "record_start", {"episodes": 1000})

    def amid() -> bool:
        status = host.status()
        return bool(status["episodes"] >= 1 and status["recording"])

    wait_until(amid, timeout_s=120, what="one episode is saved, the next is being recorded")
    before = host.status()
    os.kill(host.child("agent.recorder"), signal.SIGKILL)
    goes_on(host, before)
    wait_until(lambda: host.events("recorder_lost"), what="the loss is said")
    saved = len(host.events("episode_saved"))
    wait_until(
        lambda: len(host.events("episode_saved")) > saved,
        timeout_s=120,
        what="episodes are recorded again, beside what was recovered of the one that was lost",
    )
    order(host.state, "record_stop", {})
    wait_until(
        lambda: not host.status()["recording"] and not host.status()["unsaved_episodes"],
        timeout_s=120,
        what="all are saved",
    )
    dataset = LeRobotDataset("local/x", root=host.state.default_dataset)
    assert dataset.num_episodes == host.status()["episodes"] >= 2
    assert all(item["observation.images.front"].shape == (3, 96, 96) for item in dataset)


def test_the_broker(host: Host) -> None:
    before, ups = host.status(), len(host.events("link_up"))
    pid = host.server()["pids"]["broker"]
    os.kill(pid, signal.SIGKILL)
    goes_on(host, before)
    wait_until(lambda: host.events("link_down"), what="the loss is said")
    wait_until(lambda: len(host.events("link_up")) > ups, timeout_s=60, what="the link is back")
    assert host.server()["pids"]["broker"] != pid

    def answers() -> bool:
        found = fleet_status("127.0.0.1", host.broker, "default", wait_s=5)
        return [s.robot for s in found if s.state == "running"] == ["arm"]

    wait_until(answers, what="the robot is there again")


def test_the_link(host: Host) -> None:
    before, ups = host.status(), len(host.events("link_up"))
    os.kill(host.child("agent.link"), signal.SIGKILL)
    goes_on(host, before)
    wait_until(lambda: len(host.events("link_up")) > ups, timeout_s=60, what="the link is back")


def test_the_superlink(host: Host) -> None:
    before = host.status()
    pid = host.server()["pids"]["superlink"]
    os.kill(pid, signal.SIGKILL)
    goes_on(host, before)
    wait_until(
        lambda: host.server()["pids"]["superlink"] != pid, timeout_s=60, what="it is restarted"
    )
    log = (host.folder / "server" / "events.jsonl").read_text()
    assert "superlink was killed by SIGKILL" in log


def test_a_swap_while_the_policy_drives(host: Host) -> None:
    order(host.state, "source", {"name": "policy"})
    store = ModelStore(host.state.models)
    other = build_policy(
        host.folder / "other",
        size="tiny",
        cameras={"front": (96, 96)},
        action_names=[f"{name}.pos" for name in NAMES],
        seed=7,
    )
    before = host.status()
    model = store.add(other, origin="a test")
    store.promote(model.digest)
    wait_until(
        lambda: host.status()["digest"] == model.digest, timeout_s=120, what="the swap happened"
    )
    goes_on(host, before)
    store.rollback(reason="a test")
    wait_until(
        lambda: host.status()["digest"] == before["digest"], timeout_s=120, what="it is back"
    )


def test_stop_holds_until_clear(host: Host) -> None:
    order(host.state, "stop", {"reason": "a test"})
    assert host.status()["state"] == "stopped"
    driven = host.status()["driven_ticks"]
    wait_until(lambda: host.status()["ticks"] % 7 == 0)
    assert host.status()["driven_ticks"] == driven
    order(host.state, "clear", {})
    assert host.status()["state"] == "running"


def test_sigterm_parks_saves_and_ends(host: Host) -> None:
    order(host.state, "record_start", {"episodes": 1})
    wait_until(lambda: host.status()["recording"], timeout_s=120, what="an episode is open")
    wait_until(lambda: host.status()["frames"] > 0)
    host.agent.send_signal(signal.SIGTERM)
    assert host.agent.wait(150) == 0
    assert host.events("finished")
    assert not host.state.control_socket.exists() or host.agent.poll() == 0
    LeRobotDataset("local/x", root=host.state.default_dataset)
