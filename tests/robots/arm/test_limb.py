"""Taking hold of servos that are limp."""

from __future__ import annotations

import pytest

from robots.arm.limb import Limb
from tests.robots.arm.conftest import Rig


def test_a_glitch_does_not_become_a_goal_when_a_limp_servo_is_held_again(rig: Rig) -> None:
    rig.robot.command("account", clear=True)
    rig.robot.command("reset", id=3)
    rig.robot.command("glitch", id=3, ticks=900, count=2)
    Limb("", rig.robot).hold_again(("elbow_flex",))
    rig.until(lambda: rig.robot.command("account")["steps"] > 50, "some physics")
    account = rig.robot.command("account")
    assert account["torque"]["3"]
    assert account["goal_highest"][2] < account["position"][2] + 100


def test_a_servo_that_is_limp_when_the_arm_is_connected_does_not_jump(rig: Rig) -> None:
    rig.robot.bus.disable_torque("elbow_flex")
    rig.robot.command("push", id=3, to=1500)
    rig.robot.bus.disconnect(disable_torque=False)
    rig.robot.command("account", clear=True)
    Limb("", rig.robot).connect()
    rig.until(lambda: rig.robot.command("account")["steps"] > 50, "some physics")
    account = rig.robot.command("account")
    assert all(account["torque"].values())
    assert account["position"][2] == pytest.approx(1500, abs=60)
