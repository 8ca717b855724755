"""The guard: whatever comes in, what goes out is safe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from agent.control.guard import Guard
from agent.control.limits import GuardConfig, JointLimits
from robots.arm.ranges import JointRange
from robots.errors import ConfigError

NAMES = ("pan.pos", "lift.pos", "gripper.pos")
LOW, HIGH = np.array([-100.0, -90.0, 0.0]), np.array([100.0, 90.0, 100.0])
RANGES = {n: JointRange(low, high, 1e3) for n, low, high in zip(NAMES, LOW, HIGH, strict=True)}
PERIOD_S = 0.1


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def guard(**limits: float) -> Guard:
    loose = {"speed_percent": 10_000.0, "step_percent": 100.0, "lead_percent": 100.0}
    config = GuardConfig(limits=JointLimits(**(loose | limits)), joints={})
    return Guard(NAMES, RANGES, PERIOD_S, config)


def test_what_is_safe_passes_untouched() -> None:
    verdict = guard().check(vector(1, 2, 3), vector(0, 0, 0), vector(0, 0, 0))
    assert verdict.action is not None
    assert verdict.action.tolist() == [1, 2, 3]
    assert verdict.trips == {}


def test_a_number_that_is_none_keeps_the_joint_where_it_was_sent() -> None:
    verdict = guard().check(vector(np.nan, 2, np.inf), vector(7, 0, 50))
    assert verdict.action is not None
    assert verdict.action.tolist() == [7, 2, 50]
    assert verdict.trips == {"not finite": ("pan.pos", "gripper.pos")}


def test_the_range_less_its_margin_holds() -> None:
    verdict = guard(margin_percent=10).check(vector(-400, 0, 99), vector(0, 0, 50))
    assert verdict.action is not None
    assert verdict.action.tolist() == [-80, 0, 90]
    assert verdict.trips["out of range"] == ("pan.pos", "gripper.pos")


def test_a_jump_becomes_a_step() -> None:
    verdict = guard(step_percent=5).check(vector(60, 0, 50), vector(0, 0, 50))
    assert verdict.action is not None
    assert verdict.action.tolist() == [10, 0, 50]
    assert verdict.trips == {"step too large": ("pan.pos",)}


def test_a_speed_is_a_step_per_time_and_a_late_tick_makes_up_for_nothing() -> None:
    slow = guard(speed_percent=50)
    for elapsed_s, way in ((0.1, 10.0), (0.05, 5.0), (30.0, 10.0), (-1.0, 0.0)):
        verdict = slow.check(vector(60, 0, 50), vector(0, 0, 50), elapsed_s=elapsed_s)
        assert verdict.action is not None
        assert verdict.action[0] == pytest.approx(way)


def test_a_goal_does_not_run_ahead_of_a_joint_that_is_blocked() -> None:
    verdict = guard(lead_percent=10).check(vector(60, 0, 50), vector(15, 0, 50), vector(0, 0, 50))
    assert verdict.action is not None
    assert verdict.action[0] == 20
    assert verdict.trips == {"too far ahead of the joint": ("pan.pos",)}


def test_outside_its_range_a_joint_comes_back_by_steps() -> None:
    verdict = guard(step_percent=5).check(vector(0, 0, 50), vector(150, 0, 50))
    assert verdict.action is not None
    assert verdict.action[0] == 140


def test_nowhere_to_start_from_is_nothing_to_send() -> None:
    verdict = guard().check(vector(1, 2, 3), vector(np.nan, 0, 0))
    assert verdict.action is None
    assert verdict.trips == {"nowhere to start from": ("pan.pos",)}
    seen = guard().check(vector(1, 2, 3), vector(np.nan, 0, 0), vector(0, 0, 0))
    assert seen.action is not None, "where the joint is will do"


def test_a_joint_that_states_no_range_is_only_kept_finite() -> None:
    free = Guard(NAMES, {}, PERIOD_S, GuardConfig())
    verdict = free.check(vector(1e6, np.nan, -1e6), vector(0, 5, 0))
    assert verdict.action is not None
    assert verdict.action.tolist() == [1e6, 5, -1e6]


@pytest.mark.parametrize("span", [0.0, -10.0, np.inf, np.nan])
def test_an_empty_range_is_refused(span: float) -> None:
    with pytest.raises(ConfigError, match=r"lift\.pos.*range is empty"):
        Guard(NAMES, RANGES | {"lift.pos": JointRange(0, span, 1)}, PERIOD_S, GuardConfig())


def test_a_joint_has_its_own_limits_on_either_arm() -> None:
    own = JointLimits(speed_percent=1)
    config = GuardConfig(joints={"gripper": own, "left_pan": own})
    assert config.of("gripper.pos") is config.of("right_gripper.pos") is own
    assert config.of("left_pan.pos") is own
    assert config.of("right_pan.pos") is config.limits


@pytest.mark.parametrize(
    ("field", "value"),
    [("speed_percent", 0), ("step_percent", 101), ("lead_percent", -1), ("margin_percent", 50)],
)
def test_limits_that_are_none_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        JointLimits(**{field: value})


@pytest.mark.parametrize("field", ["max_frame_age_s", "park_s", "park_after_s", "max_yields"])
def test_times_that_are_none_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"guard.{field}=-1"):
        GuardConfig(**{field: -1})


# Properties ---------------------------------------------------------------------------------

anything = hnp.arrays(np.float32, 3, elements=st.floats(width=32, allow_nan=True))
number = st.floats(allow_nan=True, allow_infinity=True)
limits = st.fixed_dictionaries(
    {
        "speed_percent": st.floats(0.1, 10_000),
        "step_percent": st.floats(0.1, 100),
        "lead_percent": st.floats(0.1, 100),
        "margin_percent": st.floats(0, 49),
    }
)


def ulp(*values: NDArray[np.floating]) -> NDArray[np.float64]:
    """What rounding to float32 may add."""
    largest = np.minimum(np.max(np.abs(values), axis=0), 1e38).astype(np.float32)
    return np.asarray(np.spacing(largest), np.float64)


@settings(max_examples=500)
@given(anything, anything, st.none() | anything, st.none() | number, limits)
def test_nothing_unsafe_gets_through(
    action: NDArray[np.float32],
    previous: NDArray[np.float32],
    present: NDArray[np.float32] | None,
    elapsed_s: float | None,
    fields: dict[str, float],
) -> None:
    g = guard(**fields)
    safe = g.check(action, previous, present, elapsed_s).action
    if safe is None:
        known = np.isfinite(previous) | (np.isfinite(present) if present is not None else False)
        assert not known.all(), "there was somewhere to start from"
        return
    before = previous if present is None else np.where(np.isfinite(previous), previous, present)
    slack = ulp(safe, before) + 1e-5
    assert np.isfinite(safe).all()
    # Never more than the step, nor than the speed allows in one period.
    assert (np.abs(safe.astype(float) - before) <= g.step + slack).all()
    assert (np.abs(safe.astype(float) - before) <= g.speed * PERIOD_S + slack).all()
    # In range, or on its way back into it.
    assert ((safe >= g.low - slack) | (safe >= before - slack)).all()
    assert ((safe <= g.high + slack) | (safe <= before + slack)).all()
    if present is not None:
        here = np.where(np.isfinite(present), present, before)
        inside = np.clip(here, g.low, g.high)
        far = np.abs(safe - inside) - g.lead
        # No further ahead than allowed, or not further than it was.
        assert ((far <= slack) | (np.abs(safe - inside) <= np.abs(before - inside) + slack)).all()


@settings(max_examples=50)
@given(
    st.lists(anything, min_size=1, max_size=60),
    limits,
    hnp.arrays(np.float32, 3, elements=st.floats(0, 1, width=32)),
)
def test_an_arm_that_begins_in_its_range_stays_there_whatever_is_proposed(
    actions: list[NDArray[np.float32]], fields: dict[str, float], share: NDArray[np.float32]
) -> None:
    g = guard(**fields)
    goal = (g.low + share * (g.high - g.low)).astype(np.float32)
    joint = goal.astype(float)
    for action in actions:
        verdict = g.check(action, goal, joint.astype(np.float32), PERIOD_S)
        assert verdict.action is not None
        assert (np.abs(verdict.action - goal) <= g.max_step(PERIOD_S) + 1e-4).all()
        goal = verdict.action
        assert ((goal >= g.low - 1e-4) & (goal <= g.high + 1e-4)).all()
        joint += (goal - joint) * 0.4
