"""From what reached the bus to figures."""

from __future__ import annotations

import numpy as np

from benchmarks.inference.contender import Run
from benchmarks.inference.figures import figures, recovery_s
from benchmarks.inference.job import FPS, Job, Log


def run_of(times: list[float], log: Log) -> Run:
    """Goals that reached the bus then, each another one."""
    goals = np.arange(6.0 * len(times)).reshape(-1, 6)
    return Run(Job(contender="", policy="", pictures="", seconds=0.0), log, np.array(times), goals)


def test_late_is_what_is_missing_on_the_bus_and_was_not_starved() -> None:
    times = [i / FPS for i in range(FPS) if i not in (4, 10, 11)]
    log = Log(starved=[10.1 / FPS, 11.1 / FPS], begin=-0.5 / FPS, end=29.5 / FPS)
    result = figures(run_of(times, log))
    assert (result.late, result.starved, result.ticks) == (1, 2, FPS)
    assert result.actions == FPS - 3


def test_late_in_the_loop_is_what_is_missing_of_its_passes() -> None:
    passes = [i / FPS + 0.4 / FPS * (i % 2) for i in range(FPS) if i not in (10, 11)]
    log = Log(ticks=passes, starved=[10.1 / FPS], begin=-0.5 / FPS, end=29.9 / FPS)
    result = figures(run_of([i / FPS for i in range(FPS)], log))
    assert (result.loop_late, result.late) == (2, 0)
    assert (result + result).loop_late == 4


def test_a_goal_that_is_held_is_no_action() -> None:
    run = run_of([0.0, 0.1, 0.2], Log(begin=-0.1, end=0.3))
    run.goals[1] = run.goals[0]
    assert figures(run).actions == 2


def test_a_seam_is_between_two_chunks() -> None:
    sent = [(i / FPS, int(i >= 2), [float(i >= 2) * 5 + i] * 6) for i in range(4)]
    result = figures(run_of([0.0], Log(sent=sent, begin=-1.0, end=1.0)))
    assert result.seams.tolist() == [6.0]
    assert result.steps.tolist() == [1.0, 1.0]


def test_it_drives_again_when_the_rate_is_back() -> None:
    stutter = [0.2, 0.9]
    run = run_of([*stutter, *(1.5 + i / FPS for i in range(2 * FPS))], Log(begin=0.0, end=4.0))
    took_s = recovery_s(run, 0.0)
    assert took_s is not None
    assert abs(took_s - 1.5) < 1e-6
    assert recovery_s(run, 3.0) is None
