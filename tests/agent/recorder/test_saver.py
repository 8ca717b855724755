"""What is done with a data set beside saving to it, and what must not end recording."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.data.check.gate import EpisodeReport, check_episode
from agent.data.lock import reading
from agent.data.usable import usable
from agent.recorder.marks import marks_path, read_marks, write_marks
from agent.recorder.retention import size_b
from agent.recorder.saver import Saver
from robots.replay.info import read_info
from tests.agent.recorder.frames import record, writer
from tests.helpers import wait_until

EPISODES = 3


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saver") / "episodes"
    to = writer(root)
    for mark in range(EPISODES):
        record(to, mark)
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "episodes"))


class Told(list[tuple[str, dict[str, Any]]]):
    """What the saver said, from any of its threads."""

    def __call__(self, kind: str, **fields: Any) -> None:
        self.append((kind, fields))

    def of(self, kind: str) -> list[str]:
        return [str(fields["message"]) for said, fields in self if said == kind]


@contextmanager
def saving(root: Path, **quota: Any) -> Iterator[tuple[Saver, Told]]:
    told = Told()
    saver = Saver(writer(root), told, **quota)
    saver.start()
    try:
        yield saver, told
    finally:
        saver.end()


def test_a_reader_delays_the_quota_and_does_not_end_recording(root: Path) -> None:
    small_gb = size_b(root) / 1e9 - 1e-7
    with ExitStack() as reader:
        reader.enter_context(reading(root))
        with saving(root, quota_gb=small_gb, delete_unused=True) as (saver, told):
            (said,) = wait_until(lambda: told.of("quota"), what="the reason")
            assert "is being read" in said
            assert saver.needs_room
            assert not saver.over_quota
            reader.close()
            saver.make_room()
            wait_until(lambda: not saver.needs_room, what="it is made up for")
            assert told.of("deleted")
    assert len(read_info(root).episodes) == EPISODES - 1


def test_unknown_use_does_not_end_recording_and_is_said_once(root: Path) -> None:
    used = root.parent / ".episodes.used.json"
    used.write_text("{")
    with saving(root, quota_gb=1e-6) as (saver, told):
        wait_until(lambda: told.of("quota"), what="the reason")
        # Once the judge is done nothing keeps the saver from trying.
        wait_until(lambda: len(told.of("checked")) == EPISODES)
        saver.make_room()
        saver.make_room()
    (said,) = told.of("quota")
    assert str(used) in said
    assert not saver.over_quota
    used.unlink()
    with saving(root, quota_gb=1e-6) as (saver, _):
        wait_until(lambda: saver.over_quota, what="it is known that none was used")
    assert len(read_info(root).episodes) == EPISODES


@pytest.mark.parametrize("torn", [b"", bytes(40), b'{"success": tr'])
def test_torn_marks_are_set_aside_and_their_episode_is_judged_again(
    root: Path, torn: bytes
) -> None:
    path = marks_path(root, 1)
    path.write_bytes(torn)
    with saving(root) as (_, told):
        wait_until(lambda: len(told.of("checked")) == EPISODES)
    (said,) = told.of("repaired")
    assert "the marks of episode 1 can't be read" in said
    (aside,) = (root.parent / "episodes.recovered").rglob("*.json")
    assert aside.read_bytes() == torn
    assert [read_marks(root, e).get("verdict") for e in range(EPISODES)] == ["REJECTED"] * EPISODES
    assert "success" in read_marks(root, 0)
    assert "success" not in read_marks(root, 1)


def test_between_both_it_is_not_trained_on(root: Path) -> None:
    marks_path(root, 1).write_bytes(b"torn")
    with reading(root), saving(root) as (saver, told):
        wait_until(lambda: told.of("repaired"))
        assert saver is not None
        assert 1 not in usable(read_info(root)).episodes


def test_a_backlog_of_the_judge_lets_others_by_between_two_episodes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(EPISODES):
        write_marks(root, index, {"trigger": "schedule"})
    looks, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> EpisodeReport:
        looks.set()
        assert go_on.wait(30)
        return check_episode(*args)

    monkeypatch.setattr("agent.recorder.saver.check_episode", slow)
    with saving(root) as (saver, told):
        assert looks.wait(30)
        saver.mark(7, success=True)
        wait_until(lambda: saver._busy, what="somebody waits for the judge")
        go_on.set()
        wait_until(lambda: len(told.of("checked")) == EPISODES, what="the verdicts")
    assert [kind for kind, _ in told] == ["checked", "failed", "checked", "checked"]
