"""Ticks are numbered by time: what was slept through is skipped, and said."""

from __future__ import annotations

import time

from agent.control.stats import LoopStats
from agent.control.ticker import Tick, Ticker


def test_ticks_count_up_and_are_never_early() -> None:
    ticker = Ticker(200)
    start = time.monotonic()
    numbers = [ticker.wait().number for _ in range(10)]
    assert numbers == sorted(set(numbers))
    assert time.monotonic() - start >= numbers[-1] * ticker.period_s - 1e-9


def test_a_pause_skips_ticks_instead_of_running_after_them() -> None:
    ticker = Ticker(100)
    first = ticker.wait()
    time.sleep(0.1)
    tick = ticker.wait()
    assert tick.skipped >= 8
    assert tick.number == first.number + 1 + tick.skipped
    assert tick.lateness_s < ticker.period_s


def test_a_pause_that_was_meant_skips_nothing() -> None:
    ticker = Ticker(10)
    first = ticker.wait()
    time.sleep(0.35)
    ticker.restart()
    second = ticker.wait()
    assert (second.number, second.skipped) == (first.number + 1, 0)


def test_late_is_more_than_half_a_period_and_every_skipped_tick() -> None:
    stats = LoopStats(0.1)
    stats.tick(Tick(0, lateness_s=0.049, skipped=0))
    assert stats.late == 0
    stats.tick(Tick(1, lateness_s=0.051, skipped=0))
    assert stats.late == 1
    stats.tick(Tick(5, lateness_s=0.0, skipped=3))
    assert (stats.late, stats.skipped, stats.ticks) == (4, 3, 3)


def test_nothing_measured_is_none_not_zero() -> None:
    assert LoopStats(0.1).to_json()["work_ms_p50"] is None
