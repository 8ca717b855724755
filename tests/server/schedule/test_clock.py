"""When a cron expression is due, also on the days on which clocks change."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from robots.errors import ConfigError
from server.schedule.clock import next_due, shown

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def following(cron: str, start: str, count: int) -> list[str]:
    """The next times, as the clock on the wall shows them."""
    times, now = [], at(start)
    for _ in range(count):
        now = next_due(cron, BERLIN, now)
        times.append(shown(now, BERLIN))
    return times


def test_a_time_of_day_is_one_of_the_zone() -> None:
    assert next_due("0 3 * * *", BERLIN, at("2026-01-10T02:00")) == at("2026-01-10T03:00")
    assert next_due("0 3 * * *", "", at("2026-01-10T02:00", "UTC")) == at("2026-01-10T03:00", "UTC")
    assert following("30 6 * * MON-FRI", "2026-01-09T12:00", 1) == ["Mon 2026-01-12 06:30 CET"]


def test_a_slot_is_never_due_twice() -> None:
    assert next_due("0 3 * * *", BERLIN, at("2026-01-10T03:00")) == at("2026-01-11T03:00")


def test_a_time_that_a_spring_night_skips_is_due_right_after_the_jump() -> None:
    assert following("30 2 * * *", "2026-03-28T00:00", 3) == [
        "Sat 2026-03-28 02:30 CET", "Sun 2026-03-29 03:00 CEST", "Mon 2026-03-30 02:30 CEST",
    ]  # fmt: skip


def test_a_time_that_an_autumn_night_has_twice_is_due_once() -> None:
    assert following("30 2 * * *", "2026-10-24T12:00", 2) == [
        "Sun 2026-10-25 02:30 CEST", "Mon 2026-10-26 02:30 CET",
    ]  # fmt: skip


def test_every_half_hour_goes_by_elapsed_time() -> None:
    times, now = [], at("2026-10-25T01:45")
    for _ in range(5):
        now = next_due("*/30 * * * *", BERLIN, now)
        times.append(now)
    assert {b - a for a, b in itertools.pairwise(times)} == {1800.0}
    assert [shown(t, BERLIN).split(maxsplit=2)[-1] for t in times] == [
        "02:00 CEST", "02:30 CEST", "02:00 CET", "02:30 CET", "03:00 CET",
    ]  # fmt: skip


@pytest.mark.parametrize("cron", ["", "soon", "* * * *", "0 25 * * *", "* * * * * *", "0 0 30 2 *"])
def test_what_is_no_expression_is_refused(cron: str) -> None:
    with pytest.raises(ConfigError, match="--cron="):
        next_due(cron, "", 0.0)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../../etc/passwd", "Mars"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match="--timezone="):
        next_due("0 3 * * *", zone, 0.0)
