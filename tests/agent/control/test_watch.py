"""Who may drive: a stop before everything, then what the servos demand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.parking import Parking
from agent.control.watch import WINDOW_S, Mode, Watch
from robots.arm.care import Demand

KINDS = ("hold", "yield", "rest")


def decide(
    watch: Watch,
    now_s: float = 0.0,
    *,
    stop: str | None = None,
    kind: str | None = None,
    resting: bool = False,
    parked: bool = False,
) -> Mode:
    demand = Demand(kind, "because", (), presses=kind == "yield") if kind else None
    return watch.decide(now_s, stop=stop, demand=demand, resting=resting, parked=parked)


@pytest.mark.parametrize(
    ("kind", "parked", "mode"),
    [
        (None, False, Mode.DRIVE),
        ("hold", False, Mode.HOLD),
        ("yield", False, Mode.YIELD),
        ("rest", False, Mode.PARK),
        ("rest", True, Mode.REST),
    ],
)
def test_what_the_servos_demand_is_done(kind: str | None, parked: bool, mode: Mode) -> None:
    assert decide(Watch(3), kind=kind, parked=parked) is mode


@given(st.sampled_from((None, *KINDS)), st.booleans())
def test_a_stop_comes_before_everything(kind: str | None, parked: bool) -> None:
    watch = Watch(3)
    mode = decide(watch, stop="a button", kind=kind, parked=parked)
    assert mode is (Mode.YIELD if kind == "yield" else Mode.HOLD)
    assert watch.cause == "a button"


def test_a_stop_does_not_wake_an_arm_that_rests() -> None:
    assert decide(Watch(3), stop="a button", resting=True) is Mode.REST


@given(
    st.lists(
        st.tuples(st.sampled_from((None, *KINDS)), st.booleans(), st.booleans(), st.floats(0, 5)),
        max_size=50,
    )
)
def test_nobody_drives_while_it_is_stopped_or_servos_complain(
    ticks: list[tuple[str | None, bool, bool, float]],
) -> None:
    watch, now = Watch(3), 0.0
    for kind, stopped, parked, later in ticks:
        now += later
        mode = decide(watch, now, stop="s" if stopped else None, kind=kind, parked=parked)
        assert (mode is Mode.DRIVE) == (not stopped and kind is None)
        if stopped:
            assert mode in (Mode.HOLD, Mode.YIELD)


def test_an_arm_that_yields_again_and_again_wants_to_be_stopped() -> None:
    watch = Watch(3)
    for i in range(3):
        assert watch.wants_stop(i) is None
        decide(watch, i, kind="yield")
        decide(watch, i + 0.5)
    assert "yielded 3 times" in str(watch.wants_stop(3))
    assert watch.wants_stop(3) is None, "said once"


def test_yields_far_apart_are_none_of_that() -> None:
    watch = Watch(3)
    for i in range(9):
        decide(watch, i * WINDOW_S, kind="yield")
        decide(watch, i * WINDOW_S + 1)
        assert watch.wants_stop(i * WINDOW_S + 2) is None


def test_servos_that_lost_their_power_are_none_of_that_either() -> None:
    watch = Watch(1)
    demand = Demand("yield", "limp")
    watch.decide(0.0, stop=None, demand=demand, resting=False, parked=False)
    assert watch.wants_stop(0.0) is None


def test_after_the_operator_looked_at_it_it_may_yield_again() -> None:
    watch = Watch(2)
    for i in range(5):
        decide(watch, i, kind="yield")
        watch.forget()
        decide(watch, i + 0.5)
        assert watch.wants_stop(i + 0.5) is None


def test_one_long_yield_is_one() -> None:
    watch = Watch(2)
    for i in range(50):
        decide(watch, float(i), kind="yield")
    assert watch.wants_stop(50) is None


def test_the_way_back_takes_its_time_and_arrives() -> None:
    parking = Parking(1.0, 0.1)
    last, target = np.zeros(2, np.float32), np.array([10.0, -4.0], np.float32)
    assert not parking.done(last, target, 0.0), "it has not begun"
    parking.begin(0.0)
    steps = []
    for i in range(30):
        now = i * 0.1
        if parking.done(last, target, now):
            break
        after = parking.action(last, target, now)
        steps.append(float(np.abs(after - last).max()))
        last = after
    assert last == pytest.approx(target, abs=1e-3)
    assert len(steps) >= 9
    assert max(steps) < 2.0


def test_a_way_that_is_blocked_is_given_up() -> None:
    parking = Parking(1.0, 0.1)
    parking.begin(0.0)
    here, there = np.zeros(1, np.float32), np.ones(1, np.float32)
    assert not parking.done(here, there, 2.0)
    assert parking.done(here, there, 2.6)
