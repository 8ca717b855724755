"""Orders reach a control that is down or starts; one that refuses or dies is let nothing undo.

One agent without cameras and policy, whose control is killed again and again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from agent.commands.stop import order
from benchmarks.rig import Power
from tests.helpers import wait_until
from tests.whole_path.rig import Rig, running

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def power() -> Iterator[Power]:
    with Power(f"downs{os.getpid()}", goal_period_s=1.0) as power:
        yield power


@pytest.fixture(scope="module")
def rig(power: Power, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(power, tmp_path_factory.mktemp("downs")) as rig:
        yield rig


def kill(rig: Rig) -> int:
    pid = rig.child("agent.control")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_stop_of_a_control_that_starts(rig: Rig) -> None:
    wait_until(lambda: rig.children("agent.control"), timeout_s=60, what="control is started")
    os.kill(rig.child("agent.control"), signal.SIGUSR1)
    status = wait_until(lambda: rig.back(0), timeout_s=60, what="control is up")
    assert status is not None
    assert (status["state"], status["stop_reason"]) == ("stopped", "local signal SIGUSR1")
    assert rig.holds()
    assert rig.state.latched_stop.read_text() == "local signal SIGUSR1", "it is kept"
    rig.cli("clear")
    wait_until(rig.moves, what="it is driven")


def test_a_stop_by_signal_while_control_is_down(rig: Rig) -> None:
    pid = kill(rig)
    rig.agent.send_signal(signal.SIGUSR1)
    status = wait_until(lambda: rig.back(pid), timeout_s=60, what="control is back")
    assert status is not None
    assert (status["state"], status["stop_reason"]) == ("stopped", "local signal SIGUSR1")
    assert rig.holds()
    order(rig.state, "clear", {})
    wait_until(lambda: not rig.state.latched_stop.exists(), what="the stop is forgotten")


def test_a_stop_by_command_while_control_is_down(rig: Rig) -> None:
    # Nobody starts another one until the command has been given.
    rig.agent.send_signal(signal.SIGSTOP)
    pid = kill(rig)
    assert "it starts stopped" in rig.cli("stop", "--reason=a hand")
    rig.agent.send_signal(signal.SIGCONT)
    status = wait_until(lambda: rig.back(pid), timeout_s=60, what="control is back")
    assert status is not None
    assert (status["state"], status["stop_reason"]) == ("stopped", "a hand")
    order(rig.state, "clear", {})
    wait_until(rig.moves, what="it is driven")


def test_what_was_recorded_before_is_not_recorded_again(rig: Rig) -> None:
    order(rig.state, "record_start", {"episodes": 3})
    wait_until(lambda: rig.status()["recording"], timeout_s=60, what="an episode is begun")
    order(rig.state, "record_next", {})
    wait_until(lambda: rig.status()["episodes_left"] == 2, what="it is ended")
    ticks = rig.status()["ticks"]
    wait_until(lambda: rig.status()["ticks"] > ticks + 30, what="telemetry says so")
    pid = kill(rig)
    status = wait_until(lambda: rig.back(pid), timeout_s=60, what="control is back")
    assert status is not None
    assert status["episodes_left"] == 2
    order(rig.state, "record_stop", {})


def test_an_episode_is_recorded_again_from_the_pause_after_it(rig: Rig) -> None:
    order(rig.state, "record_start", {"episodes": 1})
    wait_until(lambda: rig.status()["recording"], timeout_s=60, what="an episode is begun")
    wait_until(lambda: not rig.status()["unsaved_episodes"], what="those before are saved")
    episodes = rig.status()["episodes"]
    order(rig.state, "record_next", {})
    wait_until(lambda: rig.status()["phase"] == "reset", what="it is ended")
    order(rig.state, "record_discard", {})
    wait_until(lambda: rig.events("recorder_dropped"), timeout_s=60, what="it is gone")
    assert rig.status()["episodes_left"] == 1
    wait_until(lambda: rig.status()["recording"], timeout_s=60, what="it is begun again")
    order(rig.state, "record_discard", {})
    order(rig.state, "record_stop", {})
    assert rig.status()["episodes"] == episodes


def test_a_control_that_refuses_after_a_restart_is_tried_until_it_does_not(rig: Rig) -> None:
    home = rig.status()["home"]
    rig.power.do("dead", id=6)
    pid = kill(rig)

    def refused() -> bool:
        return any("status 2: " in e["cause"] for e in rig.events("process_ended"))

    wait_until(refused, timeout_s=60, what="control refuses")
    assert rig.agent.poll() is None
    assert all(rig.power.torque()[:5]), "what holds goes on holding"
    rig.power.do("dead", id=6, dead=False)
    status = wait_until(lambda: rig.back(pid), timeout_s=90, what="control is back")
    assert status is not None
    assert status["home"] == home
    wait_until(rig.moves, what="it is driven")


def test_an_ordered_shutdown_is_not_undone_by_a_control_that_dies(rig: Rig) -> None:
    restarts = len(rig.events("process_restarted"))
    pid = rig.child("agent.control")
    order(rig.state, "shutdown", {"reason": "a test"})
    os.kill(pid, signal.SIGKILL)
    assert rig.agent.wait(150) == 0
    assert len(rig.events("process_restarted")) == restarts
    assert not any(rig.power.torque())
    assert rig.events("let_go")


def test_ctrl_c_while_control_starts_lets_the_arm_go(power: Power, rig: Rig) -> None:
    rig.agent.send_signal(signal.SIGTERM)
    rig.agent.wait(150)
    with running(power, rig.state.root.parent) as again:
        wait_until(lambda: any(power.torque()), timeout_s=60, what="control takes the arm")
        again.agent.send_signal(signal.SIGINT)
        assert again.agent.wait(150) == 0
        assert not any(power.torque())
