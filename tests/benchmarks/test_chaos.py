"""What the benchmarks of kills and swaps call a violation, and what makes them fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.chaos import kills, swaps
from benchmarks.chaos.agent import Traced
from benchmarks.chaos.judge import COLUMNS, Verdict, judge

CHUNK = 10


def origin(request: int, observed: int, **fields: Any) -> dict[str, Any]:
    given = {"generation": 1, "epoch": 0, "digest": "d", "first": observed}
    return given | {"request": request, "observed": observed} | fields


def run(*origins: dict[str, Any] | None, **fields: Any) -> list[Traced]:
    """Ticks 0, 1, … that acted on these."""
    given: dict[str, Any] = {"heard_s": 0.0, "lateness_s": 0.0, "skipped": 0, "epoch": 0} | fields
    return [Traced(number=i, origin=o, **given) for i, o in enumerate(origins)]


def what(ticks: list[Traced]) -> Verdict:
    return judge(ticks, CHUNK)


def test_a_run_as_it_should_be() -> None:
    verdict = what(run(None, origin(1, 0), origin(1, 0), origin(2, 2, digest="e"), None))
    assert verdict.violations == []
    assert (verdict.ticks, verdict.starved, verdict.late) == (5, 2, 0)
    assert verdict.models == {"d": 2, "e": 1}


def test_a_tick_that_is_missing_was_lost_unless_it_is_told_as_skipped() -> None:
    ticks = run(None, None, None)
    assert "lost" in what([ticks[0], ticks[2]]).violations[0]
    skipped = what([ticks[0], replace(ticks[2], skipped=1)])
    assert (skipped.violations, skipped.skipped, skipped.late) == ([], 1, 0)


def test_a_tick_that_began_late_is_not_skipped() -> None:
    verdict = what(run(None, None, lateness_s=0.02))
    assert (verdict.late, verdict.skipped, verdict.late_share) == (2, 0, 1.0)
    assert len(verdict.cells()) == len(COLUMNS)


def test_kills_fail_by_a_skipped_tick() -> None:
    def failed(verdict: Verdict, unanswered: int = 0) -> bool:
        return kills.Result({}, 0, verdict, unanswered).failed

    assert not failed(Verdict(ticks=1000, late=10))
    assert failed(Verdict(ticks=1000, skipped=1))
    assert failed(Verdict(violations=["mixed"]))
    assert failed(Verdict(), unanswered=1)


def test_swaps_fail_by_a_skipped_tick_and_by_more_late_ones_than_without() -> None:
    def failed(swapping: Verdict, back: int = 0) -> bool:
        return swaps.Result([], Verdict(ticks=1000, late=2), swapping, back).failed

    assert not failed(Verdict(ticks=10_000, late=29))
    assert failed(Verdict(ticks=10_000, late=31))
    assert failed(Verdict(ticks=10_000, skipped=1))
    assert failed(Verdict(violations=["mixed"]))
    assert failed(Verdict(), back=1)


def test_an_arm_acts_again_by_what_it_saw_since() -> None:
    seen = [None, origin(1, 0), origin(1, 0), None, origin(2, 3), origin(2, 3)]
    ticks = [replace(tick, heard_s=float(tick.number)) for tick in run(*seen)]
    assert kills.acts_again(ticks, 2.5) == 1.5, "not by what was planned before"
    assert kills.acts_again(ticks, 3.5) is None, "observed in the last tick before it"
    assert kills.acts_again(ticks, -1.0) == 2.0


def test_each_kill_is_answered_by_itself_or_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "_LIMIT_S", 3.0)
    nobody: Any = None
    chaos = kills.Chaos(nobody, nobody, nobody, 0)
    seen = [*[None] * 5, origin(1, 4), *[None] * 5, origin(2, 10), origin(3, 11)]
    ticks = [replace(tick, heard_s=float(tick.number)) for tick in run(*seen)]
    # Acted on at 5, at 5 after another, at 11 but too late, at 11, at 12 after a reset.
    chaos._kills = [("proxy", at) for at in (2.5, 3.5, 5.5, 9.5, 10.5)]
    chaos._resets = [10.6]
    chaos._count(ticks)
    killed = chaos.killed["proxy"]
    assert killed.acts_again == [1.5]
    assert (killed.overtaken, killed.unanswered, chaos.unanswered) == (3, 1, 1)


def test_an_older_model_s_action_is_two_changes_more() -> None:
    models = ["d", "d", "e", "d", "e", "e"]
    ticks = run(*[origin(i, i, digest=model) for i, model in enumerate(models)], None)
    assert swaps.changes(ticks) == 3
    assert swaps.changes(run(None, origin(1, 1), None, origin(2, 2, digest="e"))) == 1


def test_what_was_planned_before_a_reset_is_stale() -> None:
    assert "epoch 0" in what(run(origin(1, 0), epoch=1)).violations[0]


def test_what_does_not_answer_for_the_tick_is_stale() -> None:
    assert what(run(origin(1, 5))).violations, "of an observation that was not made yet"
    ticks = run(*[origin(1, 0)] * (CHUNK + 1))
    assert len(what(ticks).violations) == 1, "a chunk is over"
    assert what(run(*[None] * 5, *[origin(1, 0, first=5)] * CHUNK)).violations == []


def test_an_older_observation_after_a_newer_one_is_a_step_back() -> None:
    assert "older" in what(run(None, None, origin(2, 2), origin(1, 1))).violations[0]
    assert "older" in what(run(None, None, origin(2, 2), None, origin(1, 1))).violations[0]


def test_two_models_in_one_answer_are_mixed() -> None:
    assert "mixed" in what(run(origin(1, 0), origin(1, 0, digest="e"))).violations[0]
