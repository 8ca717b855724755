"""When a bus is asked again after an answer that did not come in time."""

from __future__ import annotations

from robots.arm.settling import LATE_AFTER, LIMIT_S, QUIET_S, Settling


def test_nothing_is_asked_until_the_line_was_quiet() -> None:
    settling = Settling()
    assert not settling.waits(0.0, stale=True), "nothing was in doubt"
    settling.note(1.0, again=True)
    assert settling.waits(1.0 + QUIET_S * 0.9, stale=True)
    assert settling.waits(1.0 + QUIET_S * 1.8), "an answer came meanwhile: another may"
    assert not settling.waits(1.0 + QUIET_S * 2)


def test_noise_is_not_waited_out() -> None:
    settling = Settling()
    settling.doubt(0.0)
    moment = 0.0
    while settling.waits(moment, stale=True):
        moment += QUIET_S / 5
        assert moment <= LIMIT_S + QUIET_S


def test_answers_that_are_late_every_time_are_told_from_one_that_was_lost() -> None:
    settling = Settling()
    for _ in range(LATE_AFTER):
        assert not settling.late
        settling.note(0.0, again=True)
    assert settling.late
    settling.note(0.0, again=False)
    assert not settling.late
