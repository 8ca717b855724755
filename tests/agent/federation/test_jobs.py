"""Jobs on the disk: whole or not at all, few, and named by nobody but the robot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.federation.jobs.job import Progress
from agent.federation.jobs.store import KEEP, JobStore
from agent.federation.wire import Order
from robots.errors import FederationError


def order(server_round: int = 1) -> Order:
    return Order(
        work="train",
        round_id=7,
        server_round=server_round,
        base_digest="sha256:aa",
        start_digest="sha256:bb",
        start_version=3,
    )


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


def test_an_order_is_kept_as_it_came_and_once(store: JobStore) -> None:
    job = store.add(order())

    assert store.add(order()).folder == job.folder
    assert JobStore(store.root).next() is not None
    assert [j.order for j in JobStore(store.root).list()] == [order()]
    assert (job.progress, job.note, job.result, job.failed) == (Progress(), "", None, "")


def test_the_oldest_is_done_first_and_what_is_over_is_not_done_again(store: JobStore) -> None:
    first, second = store.add(order(1)), store.add(order(2))

    def following() -> str:
        job = store.next()
        return job.name if job else ""

    assert following() == first.name
    first.write("result", {"metrics": {}})
    assert following() == second.name
    second.write("failed", {"reason": "the loss is nan"})
    assert following() == ""


def test_what_is_over_makes_room(store: JobStore) -> None:
    jobs = [store.add(order(n)) for n in range(1, KEEP + 1)]
    with pytest.raises(FederationError, match="jobs=4: are under way already"):
        store.add(order(KEEP + 1))

    jobs[1].write("result", {"metrics": {}})
    store.add(order(KEEP + 1))

    assert len(store.list()) == KEEP
    assert not jobs[1].there


def test_a_job_that_was_removed_takes_no_result(store: JobStore) -> None:
    job = store.add(order())

    store.remove(job.name)

    assert list(store.list()) == []
    with pytest.raises(FederationError, match="was removed"):
        job.write("result", {"metrics": {}})


@pytest.mark.parametrize("name", ["", "..", "../secrets", "/etc", ".trainer", "0007-001-train-XYZ"])
def test_a_name_from_the_network_reaches_jobs_only(store: JobStore, name: str) -> None:
    store.add(order())
    (store.root.parent / "secrets").mkdir()

    assert store.find(name) is None
    store.remove(name)

    assert (store.root.parent / "secrets").is_dir()
    assert len(store.list()) == 1


def test_half_a_job_is_none_and_a_damaged_record_counts_as_not_there(store: JobStore) -> None:
    half = store.root / order().job
    half.mkdir(parents=True)
    assert store.list() == []

    job = store.add(order())
    (job.folder / "result.json").write_text('{"metr')
    assert store.next() is not None
    (job.folder / "order.json").write_text("")
    assert store.list() == []
    assert store.add(order()).there


def test_leftovers_of_a_crash_are_swept_when_they_are_old(store: JobStore) -> None:
    store.add(order())
    new, old = store.root / ".new-a-1", store.root / ".gone-b-2"
    new.mkdir()
    old.mkdir()
    os.utime(old, (1, 1))

    store.sweep()

    assert new.is_dir()
    assert not old.exists()
    assert len(store.list()) == 1


def test_one_trainer_at_a_time(store: JobStore) -> None:
    held = store.lock()
    with pytest.raises(FederationError, match="another trainer works on this robot's jobs"):
        store.lock()
    os.close(held)
    os.close(store.lock())
