"""Another source takes the arm without a jump."""

from __future__ import annotations

import numpy as np
import pytest

from agent.control.blend import Blend
from agent.control.guard import Guard
from agent.control.limits import GuardConfig
from robots.arm.ranges import JointRange

NAMES = ("a.pos", "b.pos")
PERIOD_S = 1 / 30


@pytest.fixture
def guard() -> Guard:
    return Guard(
        NAMES, dict.fromkeys(NAMES, JointRange(-100.0, 100.0, 1e4)), PERIOD_S, GuardConfig()
    )


def drive(
    blend: Blend, guard: Guard, last: np.ndarray, to: np.ndarray, seconds: float
) -> tuple[list[np.ndarray], list[str]]:
    """Goals, and the guard's rules that bit."""
    goals, trips = [], []
    for tick in range(round(seconds / PERIOD_S)):
        wanted = blend.of(to, last, tick * PERIOD_S)
        verdict = guard.check(wanted, last)
        trips += [*verdict.trips]
        assert verdict.action is not None
        last = verdict.action
        goals.append(last)
    return goals, trips


def test_it_begins_where_the_arm_was_sent_and_ends_where_the_source_is(guard: Guard) -> None:
    blend = Blend(1.0, guard)
    last, to = np.array([0, 10], np.float32), np.array([20, -10], np.float32)
    blend.begin()
    goals, trips = drive(blend, guard, last, to, 1.2)
    assert goals[0] == pytest.approx(last, abs=0.1)
    assert goals[-1] == pytest.approx(to)
    assert not trips
    assert not blend.active


def test_a_far_way_takes_as_long_as_the_guard_needs_and_trips_nothing(guard: Guard) -> None:
    blend = Blend(0.0, guard)
    last, to = np.array([-90, 0], np.float32), np.array([90, 0], np.float32)
    blend.begin()
    goals, trips = drive(blend, guard, last, to, 2.0)
    assert not trips
    assert goals[-1] == pytest.approx(to)


def test_without_a_change_proposals_are_what_they_are(guard: Guard) -> None:
    proposal = np.array([50, 50], np.float32)
    assert Blend(1.0, guard).of(proposal, np.zeros(2, np.float32), 0.0) is proposal


def test_a_number_that_is_none_stays_for_the_guard(guard: Guard) -> None:
    blend = Blend(1.0, guard)
    blend.begin()
    goal = blend.of(np.array([np.nan, 5], np.float32), np.zeros(2, np.float32), 0.0)
    assert np.isnan(goal[0])
    assert goal[1] == pytest.approx(0.0)
