"""Actions are indexed by time, not by count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.control.timeline import Planned, Timeline


def chunk(start: float, n: int) -> np.ndarray:
    return np.arange(start, start + n, dtype=np.float32)[:, None]


def origin(observed: int, generation: int = 1, digest: str = "d", held: int = 0) -> Planned:
    return Planned(np.zeros(0, np.float32), observed, observed + held, generation, digest=digest)


class Mean:
    """Remembers what it was asked to merge."""

    name = "mean"

    def __init__(self) -> None:
        self.merged: list[list[int]] = []

    def __call__(self, tick: int, plans: Sequence[Planned]) -> Planned:
        self.merged.append([p.observed for p in plans])
        action = np.mean([p.action for p in plans], axis=0, dtype=np.float32)
        return Planned(action, plans[-1].observed, plans[-1].first, plans[-1].generation)


def values(timeline: Timeline, ticks: range) -> list[float | None]:
    return [None if (p := timeline.take(t)) is None else float(p.action[0]) for t in ticks]


def test_a_chunk_answers_for_the_tick_it_observed_and_those_after() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), origin(10), now=10) == 5
    assert values(timeline, range(10, 16)) == [0, 1, 2, 3, 4, None]


def test_what_has_passed_on_arrival_is_dropped() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), origin(10), now=13) == 2
    assert values(timeline, range(13, 16)) == [3, 4, None]


def test_a_chunk_that_came_too_late_is_of_no_use_and_does_no_harm() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), origin(0), now=5) == 0
    assert timeline.remaining(5) == 0
    assert timeline.first is None


def test_the_plan_does_not_pass_while_the_arm_holds_for_want_of_it() -> None:
    timeline = Timeline()
    assert timeline.add(chunk(0, 5), origin(0, held=6), now=7) == 4
    assert values(timeline, range(7, 12)) == [1, 2, 3, 4, None]


def test_the_newest_observation_wins_where_two_overlap_whichever_arrived_first() -> None:
    for first, second in ((0, 2), (2, 0)):
        timeline = Timeline()
        for observed in (first, second):
            timeline.add(chunk(100 * observed, 6), origin(observed), now=0)
        planned = timeline.take(3)
        assert planned is not None
        assert (planned.action[0], planned.observed) == (201, 2)


def test_an_older_chunk_goes_on_where_a_shorter_newer_one_ends() -> None:
    timeline = Timeline()
    timeline.add(chunk(0, 9), origin(0), now=0)
    timeline.add(chunk(100, 3), origin(2), now=2)
    assert values(timeline, range(2, 7)) == [100, 101, 102, 5, 6]


def test_a_merge_is_asked_for_each_tick_that_several_chunks_answer_for() -> None:
    merge = Mean()
    timeline = Timeline(merge)
    timeline.add(chunk(0, 4), origin(0), now=0)
    timeline.add(chunk(10, 4), origin(2), now=2)
    assert values(timeline, range(2, 7)) == [6, 7, 12, 13, None]
    assert merge.merged == [[0, 2], [0, 2]], "oldest observation first"


def test_chunks_of_two_models_are_never_merged() -> None:
    for new in (origin(2, generation=2), origin(2, digest="other")):
        timeline = Timeline(Mean())
        timeline.add(chunk(0, 6), origin(0), now=0)
        timeline.add(chunk(10, 3), new, now=2)
        assert values(timeline, range(2, 6)) == [10, 11, 12, 5]


def test_a_remote_chunk_takes_over_from_an_older_local_one() -> None:
    """Its generation is 0, whichever the local ones have come to."""
    timeline = Timeline()
    timeline.add(chunk(0, 6), origin(0, generation=3), now=0)
    timeline.add(chunk(10, 6), origin(2, generation=0), now=3)
    assert timeline.first == 2
    assert values(timeline, range(3, 9)) == [11, 12, 13, 14, 15, None]


def test_a_gap_ends_what_remains() -> None:
    timeline = Timeline()
    timeline.add(chunk(0, 3), origin(0), now=0)
    timeline.add(chunk(0, 3), origin(5), now=0)
    assert timeline.remaining(0) == 3
    assert timeline.ahead(0).tolist() == [[0], [1], [2]]
    timeline.clear()
    assert timeline.remaining(0) == 0
    assert timeline.ahead(0).shape == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(0, 30)), max_size=20))
def test_an_action_is_only_ever_taken_for_its_own_tick(
    arrivals: list[tuple[int, int, int]],
) -> None:
    """Each action here is the number of the tick that it is for."""
    timeline = Timeline()
    now = 0
    for observed, n, wait in arrivals:
        timeline.add(chunk(observed, n), origin(observed), now=now)
        assert timeline.remaining(now) == len(timeline.ahead(now))
        for tick in range(now, now + wait):
            planned = timeline.take(tick)
            assert planned is None or planned.action[0] == tick
        now += wait
