"""What comes late: folded into a later round once, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.federation.wire import (
    RUNNING,
)
from robots.errors import FederationError
from server.aggregation.config import AggregateConfig
from server.base import Base
from server.rounds.carried import take_over
from server.rounds.closing import check_enough
from server.rounds.course import Course
from server.rounds.progress import OPEN
from server.rounds.spec import DROP, FOLD, RoundSpec
from server.rounds.starts import Starts
from tests.server.rounds.answers import Round, first, said, update
from tests.server.rounds.test_closing import close


def release(round_: Round, base: Base) -> None:
    round_.releases.add(
        {name: tensor + 1 for name, tensor in round_.start.items()},
        base,
        run=1,
        round_id=round_.folder.number,
        server_round=2,
        participants=[],
        metrics={},
    )


def test_an_update_that_comes_late_is_kept_for_this_round_once(tmp_path: Path, base: Base) -> None:
    before = Round(tmp_path, base, number=3, encoding="bf16")
    release(before, base)
    begun = Round(tmp_path, base, number=4)

    for _ in range(2):
        begun.hear("7", update(before, order=before.order))

    (late,) = begun.updates
    assert (late.staleness, late.encoding, late.job) == (1, "bf16", before.order.job)
    name = first(before)
    assert torch.equal(late.delta(name, begun.start), torch.ones_like(before.start[name]))
    assert [event.kind for event in begun.events] == ["late"]
    assert begun.progress.seats["7"].state == OPEN
    assert begun.told("7").received == (before.order.job,)
    with pytest.raises(FederationError, match="0 of 1 robots gave an update"):
        check_enough(begun.folder, begun.progress, RoundSpec())

    again = Round(tmp_path, base, number=5)
    again.hear("7", update(before, order=before.order))
    assert again.updates == []
    assert "was received before" in again.last[1]["reason"]


def test_a_late_update_that_nobody_wants_is_told_so(tmp_path: Path, base: Base) -> None:
    before = Round(tmp_path, base, number=3)
    release(before, base)
    unknown = dataclasses.replace(before.order, round_id=77)
    dropping = Round(tmp_path, base, number=4, late_wanted=False)
    begun = Round(tmp_path, base, number=5)

    dropping.hear("7", update(before, order=before.order))
    begun.hear("7", update(before, order=unknown))
    assert begun.told("7").late_wanted is False
    assert begun.told("8").late_wanted is True
    before.folder.write_run({"cancelled": True})
    begun.hear("8", said(before.order, RUNNING, "right"))

    assert dropping.updates == begun.updates == []
    assert "came late" in dropping.last[1]["reason"]
    assert [e.data["reason"].partition(": ")[2] for e in begun.events] == [
        "was never ordered, or was cancelled"
    ] * 2
    assert begun.told("8").late_wanted is False


def test_an_update_of_long_ago_says_nothing_of_today(tmp_path: Path, base: Base) -> None:
    before = Round(tmp_path, base, number=3)
    begun = Round(tmp_path, base, number=4)
    begun.progress.start_version = 17

    begun.hear("7", update(before, order=before.order))

    assert "lies 17 releases behind, more than 16" in begun.last[1]["reason"]


def taken_over(begun: Round) -> list[str]:
    """Robots whose updates an earlier round has left to this one."""
    take_over(
        begun.folder,
        begun.progress,
        begun.order.base_digest,
        Starts(begun.releases),
        begun.folder.events.emit,
    )
    return [update.robot for update in begun.updates]


def failed(root: Path, base: Base) -> Round:
    """A round that got an update from one of two robots."""
    round_ = Round(root, base, number=3, encoding="bf16")
    round_.hear("7", update(round_, by=1.0, samples=10))
    with pytest.raises(FederationError, match="1 of 2 robots gave an update"):
        check_enough(round_.folder, round_.progress, RoundSpec(min_robots=2))
    round_.progress.save(round_.folder)
    round_.folder.events.emit("failed", reason="1 of 2 robots gave an update")
    return round_


def test_what_a_failed_round_has_goes_to_the_next_one_once(tmp_path: Path, base: Base) -> None:
    before = failed(tmp_path, base)
    release(before, base)
    begun, after = Round(tmp_path, base, number=4), Round(tmp_path, base, number=5)

    assert taken_over(begun) == taken_over(begun) == ["left"]
    assert taken_over(after) == before.updates == []

    (late,) = begun.updates
    assert (late.staleness, late.encoding, late.samples) == (1, "bf16", 10)
    name = first(before)
    assert torch.equal(late.delta(name, begun.start), torch.ones_like(before.start[name]))
    assert [(e.kind, e.data["failed_round"]) for e in begun.events] == [("late", 3)]
    with pytest.raises(FederationError, match="0 of 1 robots gave an update"):
        check_enough(begun.folder, begun.progress, RoundSpec())


def test_a_bad_reply_before_the_good_one_costs_nothing(tmp_path: Path, base: Base) -> None:
    before = Round(tmp_path, base, number=3)
    before.hear("7", said(before.order, RUNNING, "left/../right"))
    assert before.last[0] == "dropped"
    before.hear("7", update(before))
    before.progress.save(before.folder)
    before.folder.events.emit("failed", reason="1 of 2 robots gave an update")

    assert taken_over(Round(tmp_path, base, number=4)) == ["left"]


def test_what_a_round_failed_by_is_not_taken_over(tmp_path: Path, base: Base) -> None:
    before = Round(tmp_path, base, number=3)
    before.hear("7", update(before, by=1e-6))
    before.hear("8", update(before, robot="right", by=1e3))
    before.progress.save(before.folder)
    spec = RoundSpec(min_robots=2, aggregation=AggregateConfig(max_norm=1.0))
    with pytest.raises(FederationError, match=r"has 1 \(right: its change is"):
        close(before, base, spec)
    before.folder.events.emit("failed", reason="too few")

    assert taken_over(Round(tmp_path, base, number=4)) == ["left"]
    assert before.updates == []


def test_what_a_cancelled_round_had_taken_over_goes_to_the_next_one_and_nothing_of_its_own(
    tmp_path: Path, base: Base
) -> None:
    failed(tmp_path, base)
    cancelled = Round(tmp_path, base, number=4)
    assert taken_over(cancelled) == ["left"]
    cancelled.hear("8", update(cancelled, robot="right"))
    cancelled.progress.save(cancelled.folder)
    cancelled.folder.write_run({"cancelled": True})
    cancelled.folder.events.emit("cancelled", reason="by ada")

    after = Round(tmp_path, base, number=5)

    assert taken_over(after) == ["left"]
    assert [(e.kind, e.data["failed_round"]) for e in after.events] == [("late", 3)]


def test_a_cancelled_training_costs_a_robot_no_episode(tmp_path: Path, base: Base) -> None:
    failed(tmp_path, base)
    cancelled = Round(tmp_path, base, number=4)
    assert taken_over(cancelled) == ["left"]
    earlier = dataclasses.replace(cancelled.order, server_round=1)
    cancelled.known.note_received("right", earlier.job)
    cancelled.hear("8", update(cancelled, robot="right"))
    cancelled.progress.save(cancelled.folder)
    cancelled.folder.write_run({"cancelled": True})

    after = Round(tmp_path, base, number=5)

    assert after.told("8").received == (earlier.job,), "its first training made a release"
    assert after.told("8").abandoned == (cancelled.order.job,)
    assert after.told("7").received == (Round(tmp_path, base, encoding="bf16").order.job,)
    assert after.told("7").abandoned == (), "what was taken over counts"


def test_killed_while_it_is_taken_over_it_is_in_one_round_and_whole(
    tmp_path: Path, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = failed(tmp_path, base)
    begun = Round(tmp_path, base, number=4)

    def killed(self: Path, missing_ok: bool = False) -> None:
        if self.parent == before.folder.updates(2):
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    unlink = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            taken_over(begun)

    assert taken_over(begun) == ["left"]
    assert before.updates == []
    assert [e.kind for e in begun.events] == ["late"]


def test_what_the_failed_round_refused_or_a_cancelled_one_had_is_deleted(
    tmp_path: Path, base: Base
) -> None:
    before = failed(tmp_path, base)
    before.folder.events.emit("dropped", robot="left", reason="too long", job=before.order.job)
    assert taken_over(Round(tmp_path, base, number=4)) == []

    other = failed(tmp_path / "other", base)
    other.folder.write_run({"cancelled": True})
    assert taken_over(Round(tmp_path / "other", base, number=4)) == []
    assert before.updates == other.updates == []


@pytest.mark.parametrize("late", [FOLD, DROP])
def test_a_round_that_takes_nothing_late_deletes_what_others_left(
    tmp_path: Path, base: Base, late: str
) -> None:
    before = failed(tmp_path, base)
    begun = Round(tmp_path, base, number=4)
    begun.folder.write_spec(RoundSpec(rounds=2, late=late))
    begun.progress.save(begun.folder)
    nobody: Any = None

    with pytest.raises(FederationError, match="0 of 1 robots gave an update"):
        Course(nobody, begun.folder, base, begun.releases, run=1).follow()

    assert before.updates == []
    assert [update.robot for update in begun.updates] == (["left"] if late == FOLD else [])
