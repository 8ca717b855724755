"""A stop works when the network, the policy, the recorder and even control are dead.

One agent as users start it, on LeRobot's follower and emulated servos that outlive the agent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from agent.commands.stop import order
from agent.paths import StateDir
from agent.policy.init import build_policy
from benchmarks.rig import Power
from robots.emulator.joints import NAMES
from robots.errors import LinkError
from tests.helpers import free_port, wait_until


@dataclass
class Rig:
    """A running agent and the power of its arm."""

    power: Power
    state: StateDir
    agent: subprocess.Popen[bytes]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = order(self.state, "status", {}, timeout_s=30)
        return status

    def children(self, module: str) -> list[int]:
        found = []
        for process in psutil.Process(self.agent.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    found.append(process.pid)
        return found

    def child(self, module: str) -> int:
        return self.children(module)[0]

    def cli(self, *words: str) -> None:
        command = [sys.executable, "-m", "agent.cli", *words, f"--state_dir={self.state.root}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def moves(self) -> bool:
        """Whether the joints move, by the plant's account."""
        self.power.do("account", clear=True)
        wait_until(lambda: self.power.do("account")["steps"] > 100, what="some physics")
        account = self.power.do("account")
        ways = zip(account["lowest"], account["highest"], strict=True)
        return any(high - low > 20 for low, high in ways)

    def holds(self) -> bool:
        return not self.moves() and all(self.power.torque())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("stops")
    names = [f"{name}.pos" for name in NAMES]
    base = build_policy(
        folder / "base", size="tiny", cameras={"front": (96, 96)}, action_names=names
    )
    with Power(f"stops{os.getpid()}", goal_period_s=1.0) as power:
        camera = f"{{front: {{type: so101_scene, robot_id: {power.robot_id}}}}}"
        command = [
            sys.executable,
            "-m",
            "agent.cli",
            "run",
            "--robot.type=so101_follower",
            f"--robot.id={power.robot_id}",
            f"--robot.port={power.port}",
            f"--robot.calibration_dir={power.calibration_dir}",
            f"--robot.cameras={camera}",
            "--teleop.type=scripted_reach",
            f"--teleop.id={power.robot_id}",
            "--task=reach",
            f"--policy.path={base}",
            f"--state_dir={folder / 'arm'}",
            "--dataset.num_episodes=1000",
            "--dataset.episode_time_s=2",
            # Nobody listens there: the network is dead.
            "--broker.host=127.0.0.1",
            f"--broker.port={free_port()}",
        ]
        with (folder / "log").open("wb") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        rig = Rig(power, StateDir(folder / "arm"), agent)
        try:
            wait_until(rig.state.control_socket.exists, timeout_s=90, what="control listens")
            wait_until(lambda: rig.status()["episodes"] > 0, timeout_s=120, what="an episode")
            wait_until(lambda: rig.status()["generation"] is not None, timeout_s=120)
            yield rig
        finally:
            if agent.poll() is None:
                for process in psutil.Process(agent.pid).children(recursive=True):
                    process.send_signal(signal.SIGCONT)
                agent.send_signal(signal.SIGTERM)
                agent.wait(60)


def by_cli(rig: Rig) -> None:
    rig.cli("stop", "--reason=a test")


def by_file(rig: Rig) -> None:
    rig.state.stop_file.touch()


def by_signal_to_the_agent(rig: Rig) -> None:
    rig.agent.send_signal(signal.SIGUSR1)


def by_signal_to_control(rig: Rig) -> None:
    os.kill(rig.child("agent.control"), signal.SIGUSR1)


WAYS = (by_cli, by_file, by_signal_to_the_agent, by_signal_to_control)


@pytest.mark.parametrize("stop", WAYS)
def test_a_stop_with_everything_else_dead(rig: Rig, stop: Callable[[Rig], None]) -> None:
    wait_until(rig.moves, what="the arm is driven")
    dead = [rig.child(m) for m in ("agent.policy.worker", "agent.recorder", "agent.link")]
    for pid in dead:
        os.kill(pid, signal.SIGSTOP)
    stop(rig)
    wait_until(lambda: rig.status()["state"] == "stopped", timeout_s=10, what="it is stopped")
    wait_until(rig.holds, timeout_s=10, what="it holds")
    for pid in dead:
        os.kill(pid, signal.SIGCONT)
    if stop is by_file:
        with pytest.raises(LinkError, match="stop file is still there"):
            order(rig.state, "clear", {})
        rig.state.stop_file.unlink()
        assert rig.status()["state"] == "stopped"
    rig.cli("clear")
    wait_until(rig.moves, what="it is driven again")


def test_a_stop_outlives_control(rig: Rig) -> None:
    order(rig.state, "stop", {"reason": "a hand in the way"})
    wait_until(rig.holds, what="it holds")
    home = rig.status()["home"]
    pid = rig.child("agent.control")
    os.kill(pid, signal.SIGKILL)
    assert all(rig.power.torque()), "servos hold by themselves"

    def back() -> dict[str, Any] | None:
        try:
            status = rig.status()
        except LinkError:
            return None
        return status if status["pid"] != pid and status["ticks"] > 5 else None

    status = wait_until(back, timeout_s=60, what="control is back")
    assert status is not None
    assert (status["state"], status["stop_reason"]) == ("stopped", "a hand in the way")
    assert rig.holds(), "never let go, never moved"
    assert status["home"] == home, "where it died is no place to let go"
    order(rig.state, "clear", {})
    wait_until(rig.moves, what="it is driven again")


def test_control_that_hangs_is_replaced_and_the_arm_holds_meanwhile(rig: Rig) -> None:
    pid = rig.child("agent.control")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "control_hung" in rig.state.events.read_text(), what="that is noticed")
    assert all(rig.power.torque())

    def moves() -> bool:
        try:
            return bool(rig.status()["pid"] != pid) and rig.moves()
        except LinkError:
            return False

    wait_until(moves, timeout_s=60, what="it is driven again")


def test_an_agent_that_ends_while_control_is_dead_lets_the_arm_go_all_the_same(rig: Rig) -> None:
    os.kill(rig.child("agent.control"), signal.SIGKILL)
    rig.agent.send_signal(signal.SIGTERM)
    rig.agent.wait(60)
    assert not any(rig.power.torque())
