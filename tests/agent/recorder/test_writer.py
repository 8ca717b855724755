"""An episode is in the data set or it isn't: cut off at every step of a save, on a full disk, and
beside things that are none of the recorder's business."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.lock import reading
from agent.ipc import FrameLayout
from agent.recorder.config import RecordConfig
from agent.recorder.failures import FAILURES
from agent.recorder.marks import read_marks
from agent.recorder.repair import QUIET_S
from agent.recorder.writer import EpisodeWriter
from robots.errors import DataError
from tests.agent.recorder.forks import FORKS
from tests.agent.recorder.frames import (
    FPS,
    JOINTS,
    LAYOUT,
    LENGTH,
    TASK,
    add_frames,
    pictures,
    record,
    row,
    shade,
    writer,
)
from tests.helpers import wait_until

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}


def marks(root: Path) -> list[int]:
    """Opens with plain LeRobot, decodes every frame, and returns the episodes' marks in order."""
    dataset = LeRobotDataset("local/x", root=root)
    found = []
    index = 0
    for episode in range(dataset.num_episodes):
        for i in range(dataset.meta.episodes[episode]["length"]):
            item = dataset[index]
            mark, number = item["observation.state"].tolist()
            assert number == i
            for spec in LAYOUT.images:
                brightness = float(item[f"observation.images.{spec.key}"].mean()) * 255
                assert abs(brightness - shade(i)) < 6
            if i == 0:
                found.append(int(mark))
            index += 1
    assert index == len(dataset)
    return found


def in_a_process(target: Callable[..., None], *args: Any) -> int:
    """The exit status; minus the number of the signal that ended it."""
    process = FORKS.Process(target=target, args=args)
    process.start()
    process.join(60)
    status = process.exitcode
    process.kill()
    process.join()
    assert status is not None, "not within 60 s"
    return status


def save_until(root: Path, step: int) -> None:
    """Save an episode and be killed before the ``step``-th change that Python makes under the
    data set's parent folder (Arrow and FFmpeg write in between, unseen)."""
    to = writer(root)
    episode = to.begin(TASK)
    add_frames(episode, 2)
    episode.end({})
    episode.join()
    done = 0

    def on_event(event: str, args: tuple[Any, ...]) -> None:
        nonlocal done
        writes = event == "open" and args[1] is not None and set(str(args[1])) & set("wax+")
        if (writes or event in _CHANGES) and str(root.parent) in str(args[0]):
            done += 1
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    to.save(episode)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One saved episode; tests copy it."""
    root = tmp_path_factory.mktemp("recorded") / "episodes"
    record(writer(root), 1)
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "episodes"))


@pytest.mark.parametrize("first", [True, False], ids=["first episode", "second episode"])
def test_killed_before_any_step_of_a_save(recorded: Path, tmp_path: Path, first: bool) -> None:
    """It was ended, so it is not lost either: the next recorder saves it."""
    before = [] if first else [1]

    def fresh(name: str) -> Path:
        (tmp_path / name).mkdir()
        root = tmp_path / name / "episodes"
        return root if first else Path(shutil.copytree(recorded, root))

    for step in itertools.count(1 if first else 4, 10):
        root = fresh(f"step{step}")
        status = in_a_process(save_until, root, step)
        if root.exists():
            assert marks(root) in (before, [*before, 2]), f"step {step}: damaged until repaired"
        again = writer(root)
        assert again.episodes == len(before) + 1, f"cut off before step {step}"
        assert marks(root) == [*before, 2]
        assert not list((tmp_path / f"step{step}" / ".episodes.staging").glob("open-*"))
        if step % 2 == 0:
            record(again, 3)
            assert marks(root) == [*before, 2, 3], f"cut off before step {step}"
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert step > 5


def test_killed_while_recording_the_episode_is_recovered_and_marked(root: Path) -> None:
    assert in_a_process(be_killed_while_recording, root, 60) == -signal.SIGKILL
    assert marks(root) == [1], "what was saved must open without any repair"
    again = writer(root)
    assert marks(root) == [1, 2]
    (saved,) = again.recovered
    assert 58 <= saved.frames <= 60
    kept = read_marks(root, 1)
    assert kept["recovered"]
    assert kept["fault"] == "cut off"
    record(again, 3)
    assert marks(root) == [1, 2, 3]


def test_what_is_shorter_than_a_second_is_not_worth_it(root: Path) -> None:
    assert in_a_process(be_killed_while_recording, root, 20) == -signal.SIGKILL
    again = writer(root)
    assert (again.episodes, again.recovered) == (1, [])
    assert "dropped" in again.repaired[0]


def test_a_power_cut_may_take_the_end_of_every_file(root: Path) -> None:
    """What was put on the disk a second ago is there; what came after may be cut or zeros."""
    assert in_a_process(be_killed_while_recording, root, 60) == -signal.SIGKILL
    (folder,) = (root.parent / ".episodes.staging").glob("open-*")
    for path, cut in (("front.mp4", 700), ("journal.jsonl", 100)):
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[:-cut] + bytes(cut // 2))
    (saved,) = writer(root).recovered
    assert 40 < saved.frames < 60
    assert marks(root) == [1, 2]


def be_killed_while_recording(root: Path, frames: int) -> None:
    episode = writer(root).begin(TASK)
    add_frames(episode, 2, frames)
    wait_until(lambda: not episode.waiting, what="all pictures are encoded")
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_unfinished_episode_of_another_robot_is_not_mixed_in(tmp_path: Path) -> None:
    root = tmp_path / "episodes"
    assert in_a_process(be_killed_while_recording, root, 60) == -signal.SIGKILL
    other = FrameLayout(("a.pos", "c.pos"), JOINTS, LAYOUT.images)
    with pytest.raises(DataError, match="recovered"):
        EpisodeWriter(root, other, FPS, "so101_sim", RecordConfig(vcodec="h264"))
    writer(root)
    assert marks(root) == [2]


@pytest.mark.parametrize("limit_b", [600, 4_000, 9_000, 12_000])
def test_a_full_disk_costs_nothing_that_was_saved(root: Path, limit_b: int) -> None:
    """The limits let one more kind of file through each; the episode waits until there is room."""
    assert in_a_process(record_on_a_full_disk, root, limit_b) == 0
    assert marks(root) == [1, 3]
    assert len(writer(root).recovered) == 1
    assert marks(root) == [1, 3, 2]


def record_on_a_full_disk(root: Path, limit_b: int) -> None:
    """No file may grow beyond some bytes, as on a full disk, while one episode is saved."""
    to = writer(root)
    episode = to.begin(TASK)
    add_frames(episode, 2)
    episode.end({})
    episode.join()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_b, hard))
    with contextlib.suppress(*FAILURES):
        to.save(episode)
        raise AssertionError("the save went through")
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    record(to, 3)


def test_what_cannot_be_recovered_yet_does_not_hold_up_what_is_recorded_now(root: Path) -> None:
    assert in_a_process(be_killed_while_recording, root, 60) == -signal.SIGKILL
    assert in_a_process(recover_on_a_full_disk, root) == 0
    assert marks(root) == [1, 3]
    assert len(writer(root).recovered) == 1
    assert marks(root) == [1, 3, 2]


def recover_on_a_full_disk(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    to = writer(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert to.recovered == []
    assert "can't be saved yet" in to.repaired[0]
    record(to, 3)


def test_an_episode_that_can_no_longer_be_written_is_saved_up_to_there(root: Path) -> None:
    assert in_a_process(run_out_of_disk, root) == 0
    assert marks(root) == [1, 2]
    assert read_marks(root, 1)["fault"] == "its recording failed"


def run_out_of_disk(root: Path) -> None:
    to = writer(root)
    episode = to.begin(TASK)
    add_frames(episode, 2, 45)
    wait_until(lambda: not episode.waiting)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    largest = max(path.stat().st_size for path in episode.folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        for i in itertools.count(45):
            episode.check()
            episode.add(row(i, mark=2), pictures(i))
    except FAILURES:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    episode.stop()
    assert to.rescue(episode) is not None


def test_a_long_reader_does_not_hold_up_a_save(root: Path) -> None:
    """Training at home reads for minutes; an episode must be safe long before that."""
    with reading(root):
        assert in_a_process(record_one, root, 3) == 0
    assert marks(root) == [1, 3]


def record_one(root: Path, mark: int) -> None:
    record(writer(root), mark)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def refused_untouched(root: Path) -> str:
    before = snapshot(root.parent)
    with pytest.raises(DataError) as caught:
        writer(root)
    after = snapshot(root.parent)
    assert after == before, f"changed: {sorted(before.items() ^ after.items())[:5]}"
    return str(caught.value)


def test_a_folder_of_the_users_is_refused_and_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "images").mkdir(parents=True)
    (home / "tmp-notes").mkdir()
    (home / "empty").mkdir()
    (home / "images" / "holiday.jpg").write_text("a picture")
    (home / "tmp-notes" / "thesis.tex").write_text("years of work")
    assert str(home) in refused_untouched(home)


def test_an_old_data_set_is_refused_and_left_alone(tmp_path: Path) -> None:
    """v2.1: the same folders, other file names, no parquet files for episodes."""
    root = tmp_path / "old"
    (root / "meta").mkdir(parents=True)
    info = {
        "codebase_version": "v2.1",
        "fps": 30,
        "total_episodes": 1,
        "total_frames": LENGTH,
        "features": {"action": {"dtype": "float32", "shape": [2], "names": list(JOINTS)}},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None,
    }
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "meta" / "episodes.jsonl").write_text("{}\n")
    (root / "data" / "chunk-000").mkdir(parents=True)
    (root / "data" / "chunk-000" / "episode_000000.parquet").write_bytes(b"PAR1")
    assert "v2.1" in refused_untouched(root)


def test_another_robots_data_set_is_refused_and_left_alone(root: Path) -> None:
    other = FrameLayout(("a.pos", "c.pos"), JOINTS, LAYOUT.images)
    before = snapshot(root.parent)
    with pytest.raises(DataError, match=r"observation\.state"):
        EpisodeWriter(root, other, 30, "so101_sim", RecordConfig())
    assert snapshot(root.parent) == before


def test_what_lerobots_own_recorder_left_behind_is_set_aside(root: Path) -> None:
    """A crash of ``lerobot-record``: pictures, a video on its way, parquet without a footer."""
    (root / "images" / "observation.images.front" / "episode-000001").mkdir(parents=True)
    (root / "tmpabc123").mkdir()
    (root / "tmpabc123" / "front_001.mp4").write_bytes(b"half a video")
    for name in ("data", "meta/episodes"):
        (root / name / "chunk-000" / "file-001.parquet").write_bytes(b"PAR1 and no footer")
    before = snapshot(root)
    with pytest.raises(DataError, match="another recorder seems to write"):
        writer(root)
    assert snapshot(root) == before, "it may be at it at this moment"
    for path in root.rglob("*"):
        os.utime(path, (time.time() - QUIET_S,) * 2)
    again = writer(root)
    assert again.repaired
    assert again.episodes == 1
    record(again, 3)
    assert marks(root) == [1, 3]
    aside = list((root.parent / "episodes.recovered").rglob("*.parquet"))
    assert len(aside) == 2


def test_every_file_of_the_data_set_is_lerobots_or_a_mark(root: Path) -> None:
    """A folder that can be pushed as it is."""
    record(writer(root), 2)
    assert {p.name for p in root.iterdir()} == {"data", "meta", "videos"}
    assert {p.name for p in (root / "meta").iterdir()} == {
        *("info.json", "stats.json", "tasks.parquet", "episodes", "marks")
    }
    assert {p.suffix for p in root.rglob("*") if p.is_file()} == {".json", ".parquet", ".mp4"}
