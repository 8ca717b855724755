"""Episodes begin and end by tick."""

from __future__ import annotations

from agent.control.episodes import EpisodeSchedule, Phase


def run(schedule: EpisodeSchedule, ticks: range, ready: bool = True) -> list[tuple[int, str]]:
    changes = ((t, schedule.step(t, recorder_ready=ready)) for t in ticks)
    return [(t, change) for t, change in changes if change]


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


def test_a_discarded_episode_is_recorded_again() -> None:
    schedule = EpisodeSchedule(10, 5)
    schedule.start(1)
    assert not schedule.discard(), "there is none yet"
    run(schedule, range(5))
    assert schedule.discard()
    assert run(schedule, range(5, 100)) == [(5, "begin"), (15, "end"), (20, "done")]


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
