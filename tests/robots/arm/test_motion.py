"""A servo moves only so fast."""

from __future__ import annotations

import time

import pytest

from robots.arm.motion import BELIEVE_AFTER, Motion
from robots.arm.ranges import JointRange, joint_ranges
from robots.sim import SO101Sim, SO101SimConfig

RANGES = {"lift.pos": JointRange(-100.0, 100.0, 400.0)}


def test_the_first_reading_is_believed_and_a_jump_is_not() -> None:
    motion = Motion(RANGES)
    assert motion.impossible({"lift.pos": 50.0, "front": None}) == ""
    assert motion.impossible({"lift.pos": -50.0}) == "lift.pos"
    assert motion.impossible({"lift.pos": 51.0}) == ""


def test_a_jump_that_stays_is_believed() -> None:
    motion = Motion(RANGES)
    motion.impossible({"lift.pos": 50.0})
    said = [motion.impossible({"lift.pos": -50.0}) for _ in range(BELIEVE_AFTER)]
    assert said == ["lift.pos"] * (BELIEVE_AFTER - 1) + [""]


def test_time_allows_for_motion() -> None:
    motion = Motion(RANGES)
    motion.impossible({"lift.pos": 0.0})
    time.sleep(0.05)
    assert motion.impossible({"lift.pos": 0.05 * 400}) == ""
    assert motion.share == pytest.approx(0.1)


def test_one_reading_is_no_place_to_start_from() -> None:
    motion = Motion(RANGES)
    for _ in range(BELIEVE_AFTER):
        assert not motion.known
        motion.impossible({"lift.pos": 50.0})
    assert motion.known
    motion.forget()
    assert not motion.known


def test_after_it_was_away_anything_may_have_happened() -> None:
    motion = Motion(RANGES)
    motion.impossible({"lift.pos": 50.0})
    motion.forget()
    assert motion.impossible({"lift.pos": -50.0}) == ""


def test_a_number_that_is_none_is_impossible() -> None:
    motion = Motion(RANGES)
    motion.impossible({"lift.pos": 50.0})
    assert motion.impossible({"lift.pos": float("nan")}) == "lift.pos"


def test_ranges_are_the_calibrated_ones() -> None:
    ranges = joint_ranges(SO101Sim(SO101SimConfig(id="ranges")))
    pan, gripper = ranges["shoulder_pan.pos"], ranges["gripper.pos"]
    assert (pan.low, pan.high) == pytest.approx((-118.7, 118.7), abs=0.2)
    assert (gripper.low, gripper.high) == (0.0, 100.0)
    assert pan.top_speed == pytest.approx(5100 * 360 / 4095, rel=0.01)


def test_in_percent_a_range_is_what_it_is_by_definition() -> None:
    ranges = joint_ranges(SO101Sim(SO101SimConfig(id="ranges", use_degrees=False)))
    assert (ranges["elbow_flex.pos"].low, ranges["elbow_flex.pos"].high) == (-100.0, 100.0)


def test_a_robot_that_states_no_range_has_none() -> None:
    assert joint_ranges(object()) == {}  # type: ignore[arg-type]
