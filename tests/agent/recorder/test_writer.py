"""An episode is in the data set or it isn't: cut off at every step of a save, on a full disk, and
beside things that are none of the recorder's business."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.lock import reading
from agent.ipc import FrameLayout, ImageSpec
from agent.recorder.config import RecordConfig
from agent.recorder.writer import EpisodeWriter
from robots.errors import DataError

JOINTS = ("a.pos", "b.pos")
LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec("front", 48, 64), ImageSpec("top", 48, 64)))
LENGTH = 8

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["agent.recorder.writer"])

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}


def writer(root: Path, **config: Any) -> EpisodeWriter:
    return EpisodeWriter(root, LAYOUT, 30, "so101_sim", RecordConfig(**config))


def add_frames(to: EpisodeWriter, mark: int, frames: int = LENGTH) -> None:
    """Frames whose state carries the episode's mark and whose brightness follows the frame."""
    for i in range(frames):
        images = {s.key: np.full(s.shape, 40 + 20 * i, np.uint8) for s in LAYOUT.images}
        to.add(np.array([mark, i], np.float32), np.array([mark, i + 1], np.float32), images)


def record(to: EpisodeWriter, mark: int) -> None:
    to.start("Pick up the cube")
    add_frames(to, mark)
    to.save()


def marks(root: Path) -> list[int]:
    """Opens with plain LeRobot, decodes every frame, and returns the episodes' marks in order."""
    dataset = LeRobotDataset("local/x", root=root)
    assert len(dataset) == LENGTH * dataset.num_episodes
    found = []
    for index in range(len(dataset)):
        item = dataset[index]
        mark, i = item["observation.state"].tolist()
        assert i == index % LENGTH
        for spec in LAYOUT.images:
            brightness = float(item[f"observation.images.{spec.key}"].mean()) * 255
            assert abs(brightness - (40 + 20 * i)) < 6
        if i == 0:
            found.append(int(mark))
    return found


def in_a_process(target: Callable[..., None], *args: Any) -> int:
    """The exit status; minus the number of the signal that ended it."""
    process = _FORKS.Process(target=target, args=args)
    process.start()
    process.join(30)
    status = process.exitcode
    process.kill()
    process.join()
    assert status is not None, "not within 30 s"
    return status


def save_until(root: Path, step: int) -> None:
    """Save an episode and be killed before the ``step``-th change that Python makes under the
    data set's parent folder (Arrow and FFmpeg write in between, unseen)."""
    to = writer(root)
    to.start("Pick up the cube")
    add_frames(to, 2)
    done = 0

    def on_event(event: str, args: tuple[Any, ...]) -> None:
        nonlocal done
        writes = event == "open" and args[1] is not None and set(str(args[1])) & set("wax+")
        if (writes or event in _CHANGES) and str(root.parent) in str(args[0]):
            done += 1
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    to.save()


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
    before = [] if first else [1]

    def fresh(name: str) -> Path:
        (tmp_path / name).mkdir()
        root = tmp_path / name / "episodes"
        return root if first else Path(shutil.copytree(recorded, root))

    for step in itertools.count(1 if first else 2, 3):
        root = fresh(f"step{step}")
        status = in_a_process(save_until, root, step)
        if root.exists():
            assert marks(root) in (before, [*before, 2]), f"step {step}: damaged until repaired"
        again = writer(root)
        assert again.episodes in (len(before), len(before) + 1)
        if step % 4 == 0:
            kept = [*before, 2][: again.episodes]
            record(again, 3)
            assert marks(root) == [*kept, 3], f"cut off before step {step}"
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert step > 5


def test_killed_while_recording_the_next_session_goes_on(root: Path) -> None:
    assert in_a_process(be_killed_while_recording, root) == -signal.SIGKILL
    assert marks(root) == [1], "what was saved must open without any repair"
    again = writer(root)
    record(again, 3)
    assert marks(root) == [1, 3]
    assert not list(root.glob("tmp*"))
    assert not (root / "images").exists()


def be_killed_while_recording(root: Path) -> None:
    to = writer(root)
    to.start("Pick up the cube")
    add_frames(to, 2)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("limit_b", [600, 4_000, 5_500, 9_000, 30_000])
def test_a_full_disk_costs_one_episode(root: Path, limit_b: int) -> None:
    """The limits let one more kind of file through each: tasks, data, info, stats, episodes."""
    assert in_a_process(record_on_a_full_disk, root, limit_b) == 0
    assert marks(root) == [1, 3]


def record_on_a_full_disk(root: Path, limit_b: int) -> None:
    """No file may grow beyond some bytes, as on a full disk, while one episode is saved."""
    to = writer(root)
    to.start("Pick up the cube")
    add_frames(to, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_b, hard))
    try:
        to.save()
    except (DataError, OSError, RuntimeError):
        pass
    else:
        raise AssertionError("the save went through")
    with contextlib.suppress(OSError):
        to.discard()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    record(to, 3)


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
    again = writer(root)
    assert again.repaired
    assert again.episodes == 1
    record(again, 3)
    assert marks(root) == [1, 3]
    aside = list((root.parent / "episodes.recovered").rglob("*.parquet"))
    assert len(aside) == 2


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="vcodec"):
        writer(tmp_path / "episodes", vcodec="divx")


def test_every_file_of_the_data_set_is_lerobots(root: Path) -> None:
    """A folder that can be pushed as it is."""
    record(writer(root), 2)
    assert {p.name for p in root.iterdir()} == {"data", "meta", "videos"}
    assert {p.suffix for p in root.rglob("*") if p.is_file()} == {".json", ".parquet", ".mp4"}
