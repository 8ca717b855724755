"""Whatever comes in, what goes out is finite, in range and one step away at most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.control.guard import Guard
from robots.errors import ConfigError

NAMES = ("pan.pos", "lift.pos", "gripper.pos")
LOW = np.array([-100, -90, 0], np.float32)
HIGH = np.array([100, 90, 100], np.float32)


def guard(step: float = 5.0, margin: float = 0.0) -> Guard:
    return Guard(NAMES, LOW, HIGH, max_step_percent=step, margin_percent=margin)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_harmless_action_passes_untouched() -> None:
    verdict = guard().check(vector(1, 2, 3), vector(0, 0, 0))
    assert verdict.action.tolist() == [1, 2, 3]
    assert verdict.trips == {}


def test_a_joint_that_is_not_finite_keeps_its_value_and_the_others_move() -> None:
    verdict = guard().check(vector(np.nan, 2, np.inf), vector(7, 0, 50))
    assert verdict.action.tolist() == [7, 2, 50]
    assert verdict.trips == {"not finite": ("pan.pos", "gripper.pos")}


def test_a_joint_stays_in_its_range_less_the_margin() -> None:
    verdict = guard(step=100, margin=10).check(vector(-400, 0, 99), vector(0, 0, 50))
    assert verdict.action.tolist() == [-80, 0, 90]
    assert verdict.trips == {"out of range": ("pan.pos", "gripper.pos")}


def test_a_jump_becomes_a_step() -> None:
    verdict = guard(step=5).check(vector(60, 0, 50), vector(0, 0, 50))
    assert verdict.action[0] == pytest.approx(10)
    assert verdict.trips == {"step too large": ("pan.pos",)}


def test_an_arm_outside_its_range_comes_back_in_steps() -> None:
    verdict = guard(step=5).check(vector(0, 0, 50), vector(150, 0, 50))
    assert verdict.action[0] == pytest.approx(140)


def test_a_robot_without_a_stated_range_is_still_checked_for_finite_values() -> None:
    free = Guard(("x",), vector(-np.inf), vector(np.inf), max_step_percent=5)
    assert free.check(vector(1e6), vector(0)).action.tolist() == [1e6]
    assert free.check(vector(np.nan), vector(3)).action.tolist() == [3]


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lift\.pos.*range is empty"):
        Guard(NAMES, LOW, vector(100, -90, 100), max_step_percent=5)


anything = hnp.arrays(np.float32, 3, elements=st.floats(width=32, allow_nan=True))
inside = st.tuples(*(st.floats(0, 1, width=32) for _ in range(3))).map(
    lambda u: (LOW + np.array(u, np.float32) * (HIGH - LOW)).astype(np.float32)
)


@given(action=anything, previous=inside, step=st.floats(0.1, 100), margin=st.floats(0, 40))
def test_nothing_unsafe_gets_through(
    action: np.ndarray, previous: np.ndarray, step: float, margin: float
) -> None:
    g = guard(step, margin)
    safe = g.check(action, previous).action
    slack = 1e-3
    assert np.isfinite(safe).all()
    assert (np.abs(safe - previous) <= g.max_step + slack).all()
    # In range, or (when it began in the margin) on its way back into it.
    assert ((safe >= g.low - slack) | (safe >= previous - slack)).all()
    assert ((safe <= g.high + slack) | (safe <= previous + slack)).all()
