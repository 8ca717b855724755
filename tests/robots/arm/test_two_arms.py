"""Two arms through LeRobot's ``bi_so_follower``: one that fails doesn't take the other with it."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lerobot.robots import make_robot_from_config
from lerobot.robots.bi_so_follower import BiSOFollowerConfig
from lerobot.robots.so_follower import SOFollowerConfig

from agent.control.arm import Arm
from agent.control.guard import Guard
from agent.control.limits import GuardConfig
from agent.ipc import FrameLayout
from benchmarks.rig import Power
from robots.emulator import joints
from tests.helpers import wait_until


@pytest.fixture(scope="module")
def powers() -> Iterator[tuple[Power, Power]]:
    with Power(f"left{os.getpid()}") as left, Power(f"right{os.getpid()}") as right:
        yield left, right


@pytest.fixture
def arm(powers: tuple[Power, Power], tmp_path: Path) -> Iterator[Arm]:
    left, right = powers
    for side in ("left", "right"):
        (tmp_path / f"both_{side}.json").write_text(json.dumps(joints.calibration()))
    config = BiSOFollowerConfig(
        id="both",
        calibration_dir=tmp_path,
        cameras={"front": left.camera()},
        left_arm_config=SOFollowerConfig(port=str(left.port)),
        right_arm_config=SOFollowerConfig(port=str(right.port)),
    )
    robot = make_robot_from_config(config)
    layout = FrameLayout.from_features(robot.observation_features, robot.action_features)
    arm = Arm(robot, layout)
    arm.connect()
    yield arm
    for power in powers:
        power.do("mend")
    arm.release()


def until(arm: Arm, condition: Callable[[], Any], what: str) -> None:
    def tried() -> Any:
        observation = arm.observe()
        if observation is not None:
            arm.act(observation.state)
        arm.poll()
        time.sleep(0.01)
        return condition()

    wait_until(tried, timeout_s=15, what=what)


def test_both_are_seen_driven_and_looked_after(arm: Arm, powers: tuple[Power, Power]) -> None:
    first = wait_until(arm.observe, what="a first look")
    assert first is not None
    assert first.state.shape == (12,)
    assert list(first.images) == ["front"]
    assert arm.act(first.state + 3)

    def there() -> bool:
        seen = arm.observe()
        return seen is not None and bool((abs(seen.state - first.state - 3) < 0.5).all())

    wait_until(there, what="both arms are where they were sent")

    def polled() -> int:
        return len(arm.to_json()["servos"].get("Present_Load", {}))

    until(arm, lambda: polled() == 12, "the servos of both were polled")


def test_each_joint_has_its_limits(arm: Arm) -> None:
    guard = Guard(arm.layout.action_names, arm.ranges(), 1 / 30, GuardConfig())
    names = list(arm.layout.action_names)
    step = dict(zip(names, guard.step / (guard.high - guard.low), strict=True))
    assert step["left_gripper.pos"] == step["right_gripper.pos"] == pytest.approx(0.16)
    assert step["left_elbow_flex.pos"] == pytest.approx(0.08)


def test_one_that_is_unplugged_comes_back_and_the_other_never_lets_go(
    arm: Arm, powers: tuple[Power, Power]
) -> None:
    left, right = powers
    until(arm, lambda: arm.observe() is not None, "a first look")
    left.do("unplug")
    until(arm, lambda: arm.state == "lost", "the loss is noticed")
    assert all(right.torque())
    assert all(left.torque()), "it has power, so it holds by itself"
    left.do("replug")
    until(arm, lambda: arm.state == "ok" and arm.observe() is not None, "both are back")
    assert all(left.torque() + right.torque())


def test_a_picture_that_is_seen_again_has_the_time_that_it_had(arm: Arm) -> None:
    """Else the recorder would take it for another one."""
    looks = [wait_until(arm.observe) for _ in range(100)]
    taken = sorted({look.taken_s["front"] for look in looks if look is not None})
    assert all(later - one > 2e-3 for one, later in itertools.pairwise(taken))


def test_a_complaint_names_the_arm(arm: Arm, powers: tuple[Power, Power]) -> None:
    powers[1].do("heat", id=2, celsius=66)
    until(arm, lambda: arm.demand() is not None, "a demand")
    demand = arm.demand()
    assert demand is not None
    assert (demand.kind, demand.joints) == ("rest", ("right_shoulder_lift",))
    arm.rest()
    assert not any(powers[0].torque() + powers[1].torque())
    powers[1].do("heat", id=2, celsius=40)
    until(arm, lambda: arm.demand() is None, "it is cool")
    arm.wake()
    assert all(powers[0].torque() + powers[1].torque())


def test_both_are_let_go_whatever_is_broken(arm: Arm, powers: tuple[Power, Power]) -> None:
    left, right = powers
    left.do("dead", id=3)
    arm.release()
    torque = left.torque()
    assert not any(torque[:2] + torque[3:] + right.torque())
