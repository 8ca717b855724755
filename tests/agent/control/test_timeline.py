"""Actions are indexed by time, not by count."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.control.timeline import Timeline


def chunk(start: float, n: int) -> np.ndarray:
    return np.arange(start, start + n, dtype=np.float32)[:, None]


def test_a_chunk_answers_for_the_tick_it_observed_and_those_after() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), observed=10, generation=1, now=10) == 5
    assert [timeline.take(t).action[0] for t in range(10, 15)] == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
    assert timeline.take(15) is None


def test_what_has_passed_on_arrival_is_dropped() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), observed=10, generation=1, now=13) == 2
    assert timeline.take(13).action[0] == 3  # type: ignore[union-attr]


def test_a_chunk_that_came_too_late_is_of_no_use_and_does_no_harm() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), observed=0, generation=1, now=5) == 0
    assert timeline.remaining(5) == 0


def test_the_newest_chunk_wins_where_two_overlap() -> None:
    timeline = Timeline()
    timeline.add(chunk(0, 6), observed=0, generation=1, now=0)
    timeline.add(chunk(100, 6), observed=2, generation=2, now=3)
    planned = timeline.take(3)
    assert planned is not None
    assert planned.action[0] == 101
    assert (planned.observed, planned.generation) == (2, 2)


def test_a_gap_ends_what_remains() -> None:
    timeline = Timeline()
    timeline.add(chunk(0, 3), observed=0, generation=1, now=0)
    timeline.add(chunk(0, 3), observed=5, generation=1, now=0)
    assert timeline.remaining(0) == 3
    timeline.clear()
    assert timeline.remaining(0) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(0, 30)), max_size=20))
def test_an_action_is_only_ever_taken_for_its_own_tick(
    arrivals: list[tuple[int, int, int]],
) -> None:
    """Each action here is the number of the tick that it is for."""
    timeline = Timeline()
    now = 0
    for observed, n, wait in arrivals:
        timeline.add(chunk(observed, n), observed=observed, generation=1, now=now)
        for tick in range(now, now + wait):
            planned = timeline.take(tick)
            assert planned is None or planned.action[0] == tick
        now += wait
    assert all(tick >= now for tick in timeline._planned) or len(timeline) == 0 or now == 0
