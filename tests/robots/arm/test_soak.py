"""Faults at random, some of them at once: the arm stays in its limits and the loop alive."""

from __future__ import annotations

import numpy as np
import pytest

from agent.control.limits import GuardConfig
from benchmarks.judge import Judge, bounds
from benchmarks.soak import GUARD, soak
from robots.emulator.plant import TOP_SPEED_TICKS_S

LOOSE, TAUT = np.zeros(6, bool), np.zeros(6, bool)


def account(**fields: object) -> dict[str, object]:
    """A quiet moment in the middle of the range."""
    middle = [2100.0, 2050.0, 1965.0, 2005.0, 2047.0, 2725.0]
    quiet = dict.fromkeys(("lowest", "highest", "goal_lowest", "goal_highest"), middle)
    torque = {str(i): True for i in range(1, 7)}
    return quiet | {"fastest": [0.0] * 6, "torque": torque} | fields


@pytest.fixture
def judge() -> Judge:
    judge = Judge(bounds(GUARD, 30))
    judge.look(account(), LOOSE, TAUT)
    return judge


def test_the_limit_is_one_that_the_servos_could_break() -> None:
    assert (bounds(GUARD, 30).fastest[:4] < TOP_SPEED_TICKS_S).all()
    assert (bounds(GuardConfig(), 30).fastest > TOP_SPEED_TICKS_S).all(), "the defaults are not"


@pytest.mark.parametrize("what", ["lowest", "goal_lowest"])
def test_a_joint_that_is_held_must_stay_inside(judge: Judge, what: str) -> None:
    out = [*account()["lowest"]]  # type: ignore[misc]
    out[2] = judge.bounds.low[2] - 10
    judge.look(account(**{what: out}), LOOSE, TAUT)
    assert judge.count == 1
    assert "elbow_flex" in judge.violations[0]


def test_one_that_was_pushed_outside_is_excused_until_it_was_inside(judge: Judge) -> None:
    out = [*account()["lowest"]]  # type: ignore[misc]
    out[2] = judge.bounds.low[2] - 10
    pushed = np.array([False, False, True, False, False, False])
    judge.look(account(lowest=out), pushed, TAUT)
    judge.look(account(lowest=out), LOOSE, TAUT)
    assert judge.count == 0
    judge.look(account(), LOOSE, TAUT)
    judge.look(account(lowest=out), LOOSE, TAUT)
    assert judge.count == 1


def test_speed_counts_unless_an_obstacle_has_just_gone(judge: Judge) -> None:
    fast = [0.0, 3400.0, 0.0, 0.0, 0.0, 0.0]
    judge.look(account(fastest=fast), LOOSE, np.array([False, True, False, False, False, False]))
    assert (judge.count, judge.springs) == (0, 1)
    judge.look(account(fastest=fast), LOOSE, TAUT)
    assert judge.count == 1


def test_thirty_faults() -> None:
    # Other tests run beside this one: goals may come late, and reports.
    report = soak(30, seed=1, jitter_s=0.04, silent_s=6.0)
    assert report.passed, str(report)
    assert sum(report.faults.values()) == 30
    assert report.status["state"] == "running"
