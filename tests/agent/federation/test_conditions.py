"""When a robot trains: its owner's choice against what is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.federation.arm import ArmWatch
from agent.federation.conditions import Conditions, Readings, declines, why_not
from agent.federation.owner import TrainingConfig
from robots.errors import ConfigError
from tests.agent.federation.arms import Arm
from tests.agent.federation.conftest import Robot, wait_until

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))
FINE = Readings(now=NOON, idle_s=1e9, docked=True, temperature=50.0, free_gb=100.0)


@pytest.mark.parametrize(
    ("owner", "at", "reason"),
    [
        ({}, {}, ""),
        ({"opt_out": True}, {}, "opted out: --training.opt_out"),
        ({}, {"idle_s": 3.0}, "busy: the arm works"),
        ({"idle_s": 2.0}, {"idle_s": 3.0}, ""),
        ({"while_driving": "decline"}, {"idle_s": 3.0}, "busy: the arm works"),
        ({"while_driving": "continue"}, {"idle_s": 3.0}, ""),
        ({"only_docked": True}, {"docked": False}, "busy: the arm isn't in its pose at start"),
        (
            {"windows": ["22:00-06:00"]},
            {},
            "busy: trains 22:00-06:00 only, now it is 12:00",
        ),
        ({"windows": ["22:00-06:00", "11:30-12:30"]}, {}, ""),
        ({}, {"temperature": 91.0}, "hot: the processor has 91 °C, the limit is 85"),
        ({"max_temperature": 0.0}, {"temperature": 91.0}, ""),
        ({}, {"temperature": None}, ""),
        ({}, {"free_gb": 1.0}, "low disk: 1.0 GB are free, at least 2 must be"),
    ],
)
def test_a_condition_that_is_not_met_is_named(
    owner: dict[str, Any], at: dict[str, Any], reason: str
) -> None:
    assert why_not(TrainingConfig(**owner), replace(FINE, **at)) == reason


@pytest.mark.parametrize(
    ("hour", "inside"), [(21, False), (22, True), (0, True), (5, True), (6, False)]
)
def test_a_window_goes_over_midnight(hour: int, inside: bool) -> None:
    assert TrainingConfig(windows=["22:00-06:00"]).in_window(NOON.replace(hour=hour)) is inside


def test_what_was_too_hot_goes_on_when_it_is_cooler_by_some_degrees() -> None:
    at = replace(FINE, temperature=83.0)
    assert why_not(TrainingConfig(), at, hot=False) == ""
    assert why_not(TrainingConfig(), at, hot=True).startswith("hot: ")


def test_a_job_waits_for_the_arm_unless_its_owner_declines() -> None:
    works = "busy: the arm works"
    assert not declines(TrainingConfig(), works)
    assert declines(TrainingConfig(while_driving="decline"), works)
    assert declines(TrainingConfig(), "hot: …")
    assert not declines(TrainingConfig(), "")


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ({"while_driving": "perhaps"}, "--training.while_driving=perhaps: isn't known"),
        ({"windows": ["22-6"]}, "--training.windows=22-6: isn't a time of day"),
        ({"timezone": "Mars/Base"}, "--training.timezone=Mars/Base: isn't a time zone"),
        ({"min_free_gb": -1.0}, "--training.min_free_gb=-1.0: must be from 0"),
    ],
)
def test_what_an_owner_cannot_mean_is_refused(owner: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrainingConfig(**owner)
    assert str(refused.value).startswith(message)
    with pytest.raises(ConfigError, match=r"--training.owner: is unknown"):
        TrainingConfig.of({"owner": 1})


@pytest.fixture
def arm(robot: Robot) -> Iterator[Arm]:
    with Arm(robot.state) as arm:
        yield arm


def test_an_arm_works_while_its_driven_ticks_are_counted_on(robot: Robot, arm: Arm) -> None:
    watch = ArmWatch(robot.state)
    # What was before the first look isn't known; it is running, and nothing drives it.
    assert watch.idle_s() > 1e6
    assert not watch.docked

    arm.drives = True
    assert watch.idle_s() < 5.0
    arm.drives = False
    wait_until(lambda: watch.idle_s() > 0.1, "resting")
    arm.state = "parking"
    assert watch.idle_s() < 0.1


def test_an_arm_that_nobody_holds_is_idle(robot: Robot) -> None:
    watch = ArmWatch(robot.state)
    assert watch.idle_s() == float("inf")
    assert watch.docked


def test_the_robot_s_own_arm_and_disk_are_read(robot: Robot, arm: Arm) -> None:
    conditions = Conditions(robot.home)
    assert conditions.why_not() == ""
    arm.drives = True
    assert conditions.why_not() == "busy: the arm works"
    robot.configure({"while_driving": "continue", "min_free_gb": 900_000.0})
    assert Conditions(robot.home).why_not().startswith("low disk: ")
