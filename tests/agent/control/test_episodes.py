"""Episodes begin and end by tick."""

from __future__ import annotations

from typing import Any

import pytest

from agent.control.episodes import EpisodeSchedule, Phase, Trigger


def run(schedule: EpisodeSchedule, ticks: range, **said: Any) -> list[tuple[int, str]]:
    given = {"ready": True} | said
    return [(t, change) for t in ticks for change in schedule.step(t, **given)]


def test_nothing_is_recorded_unless_asked_for() -> None:
    assert run(EpisodeSchedule(10, 5), range(100)) == []


def test_episodes_pauses_and_the_end() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(2)
    assert run(schedule, range(100)) == [
        (0, "begin"),
        (10, "end"),
        (16, "begin"),
        (26, "end"),
        (31, "done"),
    ]


def test_it_waits_for_the_recorder() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(1)
    assert run(schedule, range(50), ready=False) == []
    assert run(schedule, range(50, 51)) == [(50, "begin")]


def test_an_episode_lost_with_its_recorder_is_recorded_again() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(1)
    run(schedule, range(5))
    schedule.abandon()
    assert run(schedule, range(5, 100)) == [(5, "begin"), (15, "end"), (20, "done")]


def test_a_discarded_episode_is_recorded_again_after_the_pause() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(1)
    assert not schedule.discard(), "there is none yet"
    run(schedule, range(5))
    assert schedule.discard()
    assert run(schedule, range(5, 100)) == [(10, "begin"), (20, "end"), (25, "done")]


def test_the_operator_ends_an_episode_or_a_pause_early() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(2)
    run(schedule, range(3))
    schedule.finish()
    assert run(schedule, range(3, 5)) == [(3, "end")]
    schedule.finish()
    assert run(schedule, range(5, 8)) == [(6, "begin")]


def test_stop_means_no_further_episodes() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(3)
    run(schedule, range(12))
    schedule.stop()
    assert schedule.phase is Phase.IDLE
    assert run(schedule, range(12, 100)) == []


def test_more_can_be_asked_for_at_any_time() -> None:
    schedule = EpisodeSchedule(10, 0)
    schedule.start(1)
    run(schedule, range(5))
    schedule.start(1)
    assert [c for _, c in run(schedule, range(5, 100))] == ["end", "begin", "end", "done"]


def test_by_order_one_is_recorded_until_told_or_its_time_is_over() -> None:
    schedule = EpisodeSchedule(10, 5, Trigger.OPERATOR)
    assert run(schedule, range(20)) == []
    schedule.start()
    assert run(schedule, range(20, 40)) == [(20, "begin"), (30, "end")]
    schedule.start()
    run(schedule, range(40, 43))
    schedule.finish()
    assert run(schedule, range(43, 60)) == [(43, "end")]


def test_the_task_s_success_ends_an_episode() -> None:
    schedule = EpisodeSchedule(10, 5, Trigger.SUCCESS)
    schedule.start(1)
    run(schedule, range(4))
    assert run(schedule, range(4, 5), over=True) == [(4, "end")]
    assert run(schedule, range(5, 20)) == [(9, "done")]


def test_always_means_that_no_tick_is_between_two() -> None:
    schedule = EpisodeSchedule(10, 5, Trigger.ALWAYS)
    changes = run(schedule, range(25))
    assert changes == [(0, "begin"), (10, "end"), (10, "begin"), (20, "end"), (20, "begin")]
    schedule.stop()
    assert run(schedule, range(25, 50)) == []
    schedule.start()
    assert run(schedule, range(50, 51)) == [(50, "begin")]


def test_a_correction_is_an_episode() -> None:
    schedule = EpisodeSchedule(10, 5, Trigger.CORRECTION)
    assert run(schedule, range(5)) == []
    assert run(schedule, range(5, 9), correcting=True) == [(5, "begin")]
    assert run(schedule, range(9, 20)) == [(9, "end")]
    long = run(schedule, range(20, 33), correcting=True)
    assert long == [(20, "begin"), (30, "end"), (30, "begin")], "a long one goes on in another"


@pytest.mark.parametrize("trigger", [Trigger.OPERATOR, Trigger.CORRECTION])
def test_one_that_ended_before_its_time_is_not_begun_anew(trigger: Trigger) -> None:
    schedule = EpisodeSchedule(10, 5, trigger)
    schedule.start()
    assert run(schedule, range(3), correcting=True) == [(0, "begin")]
    schedule.cut()
    assert run(schedule, range(3, 20), correcting=False) == []
