"""When the next chunk is asked for follows from the latency and the horizon."""

from __future__ import annotations

import pytest

from agent.control.asking import Asking
from agent.control.latency import Latency

PERIOD_S = 0.1


def asked_at(asking: Asking, latency_s: float | None, chunk_size: int = 20) -> int:
    """How old the plan is when the next one is asked for."""
    return next(
        age
        for age in range(chunk_size + 1)
        if asking.wanted(
            age=age, left=chunk_size - age - 1, latency_s=latency_s, chunk_size=chunk_size
        )
    )


def test_without_a_plan_at_once() -> None:
    assert Asking(PERIOD_S).wanted(age=None, left=0, latency_s=None, chunk_size=20)


def test_half_a_chunk_is_carried_out_when_the_policy_is_fast() -> None:
    assert asked_at(Asking(PERIOD_S), 0.2) == 10


def test_or_as_much_as_the_user_says() -> None:
    assert asked_at(Asking(PERIOD_S, horizon=3), 0.2) == 3
    assert asked_at(Asking(PERIOD_S, horizon=99), None) == 17, "two ticks before the plan ends"


def test_a_slow_policy_is_asked_so_early_that_the_plan_does_not_end() -> None:
    assert asked_at(Asking(PERIOD_S, horizon=15), 0.7) == 10


def test_one_that_takes_more_than_half_its_chunk_is_asked_with_half_of_it_left() -> None:
    assert asked_at(Asking(PERIOD_S, horizon=15), 1.9) == 9


def test_one_that_takes_longer_than_its_chunk_is_asked_when_the_arm_stands() -> None:
    """What it sees while the arm moves would be over when its chunk comes."""
    assert asked_at(Asking(PERIOD_S, horizon=3), 2.0) == 19


@pytest.mark.parametrize(("latency", "moves"), [(5, 1.0), (10, 1.0), (16, 0.62), (30, 0.4)])
def test_how_much_the_arm_moves(latency: int, moves: float) -> None:
    """Played tick by tick with chunks of 20, beside what the module says: all of the time while
    L ≤ H/2, H/2L of it while L < H, H/(L + H) beyond."""
    asking, size = Asking(PERIOD_S, horizon=19), 20
    first = arrives = held = moved = 0
    asked = (0, 0)
    planned, waiting = False, False
    for tick in range(5000):
        if waiting and tick >= arrives:
            planned, waiting, first = True, False, asked[0] + held - asked[1]
        left = max(0, first + size - tick) if planned else 0
        if not waiting and asking.wanted(
            age=tick - first if left else None,
            left=max(0, left - 1),
            latency_s=latency * PERIOD_S if tick else None,
            chunk_size=size,
        ):
            waiting, arrives, asked = True, tick + latency, (tick, held)
        moved += left > 0
        held += left <= 0
    assert moved / 5000 == pytest.approx(moves, abs=0.03)


@pytest.mark.parametrize(("latency_s", "ticks"), [(None, 0), (0.0, 0), (0.01, 1), (0.21, 3)])
def test_a_latency_in_ticks_is_rounded_up(latency_s: float | None, ticks: int) -> None:
    assert Asking(PERIOD_S).ticks(latency_s) == ticks


def test_a_cold_start_counts_only_while_there_is_nothing_else() -> None:
    latency = Latency()
    assert latency.seconds is None
    latency.note(9.0)
    assert latency.seconds == 9.0
    latency.note(0.2)
    assert latency.seconds == 0.2


def test_what_a_worker_expects_holds_until_more_than_a_cold_start_was_measured() -> None:
    latency = Latency()
    latency.expect(0.3)
    assert latency.seconds == 0.3
    latency.note(9.0)
    assert latency.seconds == 0.3
    latency.note(0.2)
    assert latency.seconds == 0.2


def test_one_slow_chunk_in_many_is_no_rule_and_many_are() -> None:
    latency = Latency(0.9)
    for _ in range(40):
        latency.note(0.2)
    latency.note(5.0)
    assert latency.seconds == 0.2
    for _ in range(3):
        latency.note(5.0)
    assert latency.seconds == 5.0


def test_what_was_slow_long_ago_fades() -> None:
    latency = Latency(0.9)
    for seconds in [5.0] * 40 + [0.2] * 60:
        latency.note(seconds)
    assert latency.seconds == 0.2
