"""What is wrong with a release, by the reports that come while it drives."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.policy.store import ModelStore
from agent.releases.behaviour import Behaviour, Counts
from agent.releases.owner import ReleasesConfig
from agent.releases.probation import Order, Progress, Recent, Trip, Watch, was_rolled_back
from tests.agent.releases.reports import Arm

ORDER = Order(digest="sha256:new", version=3, previous="sha256:old", since=5.0)


def usual(halves: int = 120, **driving: float) -> Behaviour:
    """A minute of the previous model, or so many half seconds."""
    recent, arm = Recent(), Arm("sha256:old")
    recent.note(Counts.of(arm.report()))
    for _ in range(halves):
        recent.note(Counts.of(arm.drives(**driving)))  # type: ignore[arg-type]
    found = recent.usual("sha256:old")
    assert found is not None
    return found


def watched(before: Behaviour | None, *driving: dict[str, float]) -> Trip | None:
    """The first trip of a release that drives so for as many half seconds as are given."""
    arm, watch = Arm("sha256:new"), Watch(ReleasesConfig(), before)
    assert watch.note(Counts.of(arm.report())) is None
    for entry in driving:
        if trip := watch.note(Counts.of(arm.drives(**entry))):  # type: ignore[arg-type]
            return trip
    return None


def test_a_release_that_behaves_as_the_model_before_is_let_be() -> None:
    before = usual(trips=3, starved=2)
    assert watched(before, *[{"trips": 3, "starved": 2}] * 60) is None


def test_one_whose_actions_the_guard_must_change_trips_within_half_a_second() -> None:
    trip = watched(usual(), {"trips": 15})
    assert trip is not None
    assert trip.cause == "the guard changed its actions 15 times in 15 ticks"
    assert trip.data["window"]["trips"] == 15
    assert trip.data["usual"]["trips"] == 0


def test_what_was_usual_before_is_no_trip() -> None:
    """A policy that leans on a limit did so before."""
    assert watched(usual(trips=10), *[{"trips": 10}] * 40) is None
    assert watched(usual(trips=1), *[{"trips": 10}] * 40) is not None


def test_one_that_is_too_slow_for_its_arm_trips() -> None:
    trip = watched(usual(), *[{"starved": 10}] * 10)
    assert trip is not None
    assert "ticks had no planned action" in trip.cause


def test_one_whose_steps_have_grown_trips() -> None:
    trip = watched(usual(), *[{"step": 5.0}] * 6)
    assert trip is not None
    assert trip.cause == "its actions take steps 5.0 times as large as before"


def test_one_whose_chunks_do_not_join_trips_and_the_first_seam_is_not_its_own() -> None:
    first = {"jump": 50.0}
    assert watched(usual(), first, *[{}] * 20) is None
    trip = watched(usual(), first, *[{"jump": 10.0}] * 20)
    assert trip is not None
    assert trip.cause == "where chunks join it jumps 5.0 times as far as before"


def test_steps_too_small_to_measure_are_no_measure() -> None:
    """A model under which the arm stood still says nothing of how far another may move it."""
    assert watched(usual(step=0.001, jump=0.001), *[{"step": 1.0, "jump": 1.5}] * 20) is None


def test_without_a_model_before_the_limits_alone_hold() -> None:
    assert watched(None, *[{"step": 90.0}] * 20) is None
    assert watched(None, {"trips": 15}) is not None


FROZEN = {"step": 0.02, "jump": 0.0}


def test_one_that_freezes_the_arm_trips_however_it_came_to_stand() -> None:
    trip = watched(usual(), {"step": 3.0, "jump": 50.0}, {"step": 3.0}, *[FROZEN] * 110)
    assert trip is not None
    assert trip.cause == (
        "it hardly moves the arm: in 50 s of driving its actions took steps 2.0% as large as before"
    )
    assert (trip.data["movement"], trip.data["usual"]["ticks"]) == (0.02, 1800)


def test_so_does_one_that_freezes_it_later_or_is_interrupted() -> None:
    assert watched(usual(), *[{}] * 80, *[FROZEN] * 130) is not None
    arm, watch, trip = Arm("sha256:new"), Watch(ReleasesConfig(), usual()), None
    for _ in range(4):
        arm.source = "policy"
        watch.note(Counts.of(arm.report()))
        for _ in range(30):
            trip = trip or watch.note(Counts.of(arm.drives(**FROZEN)))
        arm.source = "teleop"
        assert watch.note(Counts.of(arm.drives(30.0, step=5.0))) is None
    assert trip is not None


def test_a_pause_is_no_standstill() -> None:
    assert watched(usual(), *[*[FROZEN] * 60, *[{}] * 10] * 4) is None


@pytest.mark.parametrize("before", [
    None, usual(step=0.05, jump=0.05), usual(halves=40),
], ids=["none", "still itself", "for 20 s only"])  # fmt: skip
def test_a_standstill_is_none_without_a_movement_to_compare_it_with(
    before: Behaviour | None,
) -> None:
    assert watched(before, *[FROZEN] * 240) is None


def test_an_owner_may_want_a_release_that_stands_still() -> None:
    arm, watch = Arm("sha256:new"), Watch(ReleasesConfig(still_share=0.0), usual())
    watch.note(Counts.of(arm.report()))
    assert not any(watch.note(Counts.of(arm.drives(**FROZEN))) for _ in range(240))


def test_only_what_it_drives_counts() -> None:
    arm, watch = Arm("sha256:new"), Watch(ReleasesConfig(), usual(), ticks=7)
    watch.note(Counts.of(arm.report()))
    watch.note(Counts.of(arm.drives(1.0)))
    arm.source = "teleop"
    for _ in range(4):
        assert watch.note(Counts.of(arm.drives(1.0, trips=30))) is None
    arm.source = "policy"
    assert watch.note(Counts.of(arm.report())) is None
    assert watch.note(Counts.of(arm.drives(1.0))) is None
    assert watch.ticks == 7 + 60


def test_a_control_that_was_restarted_counts_from_zero() -> None:
    watch = Watch(ReleasesConfig(), usual())
    first, second = Arm("sha256:new"), Arm("sha256:new", pid=2)
    watch.note(Counts.of(first.report()))
    watch.note(Counts.of(first.drives(2.0)))
    assert watch.note(Counts.of(second.report())) is None
    assert watch.note(Counts.of(second.drives(2.0))) is None
    assert watch.ticks == 120


def test_progress_outlives_a_restart_and_belongs_to_one_order(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    progress = Progress.read(path, ORDER)
    assert (progress.ticks, progress.ended) == (0, "")
    progress.ticks, progress.usual = 40, usual(trips=1)
    progress.write(path)
    assert Progress.read(path, ORDER) == progress
    again = Order(digest=ORDER.digest, version=3, previous="", since=6.0)
    assert Progress.read(path, again).ticks == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 1}', "null"])
def test_a_file_that_a_power_cut_spoilt_begins_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "probation.json"
    path.write_text(text)
    assert Order.read(path) is None
    assert Progress.read(path, ORDER).ticks == 0


def test_an_order_is_on_disk_as_it_was_written(tmp_path: Path) -> None:
    ORDER.write(tmp_path / "probation.json")
    assert Order.read(tmp_path / "probation.json") == ORDER


def test_a_model_that_was_rolled_back_is_known_until_it_is_taken_anew(
    tmp_path: Path, tiny_policy: Path, other_policy: Path
) -> None:
    store = ModelStore(tmp_path)
    store.promote(store.add(tiny_policy, origin="a test"))
    release = store.promote(store.add(other_policy, origin="a release"))
    assert not was_rolled_back(store, release.digest)
    store.rollback(reason="probation: a test")
    assert was_rolled_back(store, release.digest)
    store.promote(release)
    assert not was_rolled_back(store, release.digest)
