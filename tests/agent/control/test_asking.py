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
    assert asked_at(Asking(PERIOD_S, horizon=15), 1.0) == 7
    assert asked_at(Asking(PERIOD_S, horizon=15), 60.0) == 0


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
