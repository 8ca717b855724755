"""A stop works when the network, the policy, the recorder and even control are dead.

One agent as users start it, on LeRobot's follower and emulated servos that outlive the agent.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from agent.commands.stop import order
from agent.policy.init import build_policy
from benchmarks.rig import Power
from robots.emulator.joints import NAMES
from robots.errors import LinkError
from tests.helpers import free_port, wait_until
from tests.whole_path.rig import Rig, running

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("stops")
    names = [f"{name}.pos" for name in NAMES]
    base = build_policy(
        folder / "base", size="tiny", cameras={"front": (96, 96)}, action_names=names
    )
    with Power(f"stops{os.getpid()}", goal_period_s=1.0) as power:
        words = [
            f"--robot.cameras={{front: {{type: so101_scene, robot_id: {power.robot_id}}}}}",
            f"--policy.path={base}",
            "--dataset.num_episodes=1000",
            "--dataset.episode_time_s=2",
            # Nobody listens there: the network is dead.
            "--broker.host=127.0.0.1",
            f"--broker.port={free_port()}",
        ]
        with running(power, folder, *words) as rig:
            wait_until(rig.state.control_socket.exists, timeout_s=90, what="control listens")
            wait_until(lambda: rig.status()["episodes"] > 0, timeout_s=120, what="an episode")
            wait_until(lambda: rig.status()["generation"] is not None, timeout_s=120)
            yield rig


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
    wait_until(lambda: rig.status()["state"] == "stopped", what="it is stopped")
    wait_until(rig.holds, what="it holds")
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

    status = wait_until(lambda: rig.back(pid), timeout_s=60, what="control is back")
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
    rig.agent.wait(150)
    assert not any(rig.power.torque())
