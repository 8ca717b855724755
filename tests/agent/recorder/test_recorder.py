"""The recorder process; the test plays control over a real socket and real shared memory."""

from __future__ import annotations

import json
import multiprocessing.process
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import DataLoader

from agent.data.hub.name import kept_name
from agent.ipc import Channel, FrameBuffer, FrameLayout, ImageSpec, Message, listen
from agent.recorder.config import RecordConfig
from agent.recorder.features import check_dataset
from agent.recorder.video import count_pictures
from robots.errors import DataError
from tests.agent.recorder.forks import FORKS, run_recorder
from tests.helpers import wait_until

LAYOUT = FrameLayout(
    ("a.pos", "b.pos"), ("a.pos", "b.pos"), (ImageSpec("front", 64, 96), ImageSpec("top", 48, 64))
)
SLOTS = 8
FPS = 30


class Control:
    """The control side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "data"
        self._listener = listen(folder / "c.sock")
        self._listener.settimeout(60)
        self.buffer = FrameBuffer(folder / "ring", LAYOUT, SLOTS, create=True)
        self.free: list[int] = []
        self.heard: list[Message] = []
        self.process: multiprocessing.process.BaseProcess | None = None
        self.channel: Channel | None = None

    def spawn(self, **config: Any) -> multiprocessing.process.BaseProcess:
        fields = RecordConfig(**{"vcodec": "h264"} | config).to_json()
        argv = [
            f"--socket={self.folder / 'c.sock'}",
            f"--root={self.root}",
            f"--config={json.dumps(fields)}",
        ]
        self.process = FORKS.Process(target=run_recorder, args=(argv,))
        self.process.start()
        return self.process

    def accept(self, layout: FrameLayout = LAYOUT, fps: int = FPS) -> None:
        sock, _ = self._listener.accept()
        self.channel = Channel(sock)
        assert self.expect("hello")["role"] == "recorder"
        self.channel.send(
            "welcome",
            layout=layout.to_json(),
            buffer=str(self.folder / "ring"),
            slots=SLOTS,
            fps=fps,
            task="t",
            robot="r",
            robot_type="so101_sim",
        )
        self.free = list(range(SLOTS))

    def up(self, **config: Any) -> Message:
        self.spawn(**config)
        self.accept()
        return self.expect("ready")

    def expect(self, kind: str, timeout_s: float = 60) -> Message:
        assert self.channel is not None
        deadline = time.monotonic() + timeout_s
        while True:
            for i, message in enumerate(self.heard):
                if message.kind == kind:
                    return self.heard.pop(i)
            assert time.monotonic() < deadline, f"no {kind} within {timeout_s} s"
            assert not self.channel.closed, f"the recorder is gone, {kind} was expected"
            self._listen(0.1)

    def _listen(self, wait_s: float) -> None:
        assert self.channel is not None
        for message in self.channel.wait(wait_s):
            if message.kind == "free":
                self.free.append(message["slot"])
            else:
                self.heard.append(message)

    def send(self, kind: str, **fields: Any) -> None:
        assert self.channel is not None
        assert self.channel.send(kind, **fields)

    def frames(self, n: int, offset: int = 0) -> None:
        for i in range(offset, offset + n):
            while not self.free:
                self._listen(0.1)
                assert self.channel is not None
                assert not self.channel.closed
            slot = self.free.pop()
            views = self.buffer[slot]
            views.state[:] = [i, -i]
            views.action[:] = [i + 0.5, i]
            for view in views.images.values():
                view[:] = shade(i)
            self.send("frame", slot=slot, tick=i, t=1e9 + i / FPS, taken={}, marks=0)

    def start(self, number: int = 1, *, tick: int = 0, before_s: float = 0.0) -> None:
        self.send("episode_start", episode=number, task="t", tick=tick, before_s=before_s)

    def episode(self, n: int, *, number: int = 1, save: bool = True, **marks: Any) -> None:
        self.start(number)
        self.frames(n)
        self.send("episode_end", episode=number, save=save, marks=marks)

    def hang_up(self) -> int:
        assert self.channel is not None
        assert self.process is not None
        self.channel.drain(5)
        self.channel.close()
        return self.wait()

    def wait(self) -> int:
        """Until the recorder ends: its status."""
        assert self.process is not None
        self.process.join(60)
        assert self.process.exitcode is not None, "the recorder has not ended"
        return self.process.exitcode

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        if self.channel is not None:
            self.channel.close()
        self._listener.close()


def shade(i: int) -> int:
    return 40 + 5 * (i % 40)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    yield control
    control.close()


def opened(root: Path) -> LeRobotDataset:
    """Plain LeRobot, nothing of ours."""
    return LeRobotDataset("local/x", root=root)


def check_rows_and_pictures(root: Path, episodes: int, length: int) -> None:
    dataset = opened(root)
    assert dataset.num_episodes == episodes
    assert len(dataset) == episodes * length
    for index in range(len(dataset)):
        item = dataset[index]
        i = index % length
        assert item["observation.state"].tolist() == [i, -i]
        assert item["action"].tolist() == [i + 0.5, i]
        for key in ("front", "top"):
            image = item[f"observation.images.{key}"]
            assert abs(float(image.mean()) * 255 - shade(i)) < 4, (index, key)


def test_what_was_recorded_opens_in_plain_lerobot(control: Control) -> None:
    assert control.up()["episodes"] == 0
    for number in (1, 2):
        control.episode(25, number=number)
        saved = control.expect("saved")
        assert (saved["episode"], saved["episodes"], saved["frames"]) == (
            number,
            number,
            25 * number,
        )
    check_rows_and_pictures(control.root, episodes=2, length=25)
    for batch in DataLoader(opened(control.root), batch_size=10):
        assert batch["observation.images.front"].shape[1:] == (3, 64, 96)
    assert control.hang_up() == 0


def test_a_second_session_goes_on_where_the_first_ended(control: Control) -> None:
    control.up()
    control.episode(10)
    control.expect("saved")
    assert control.hang_up() == 0
    assert control.up()["episodes"] == 1
    control.episode(10)
    assert control.expect("saved")["episodes"] == 2
    check_rows_and_pictures(control.root, episodes=2, length=10)


def test_over_its_quota_the_oldest_episodes_go_while_it_records(control: Control) -> None:
    control.up(quota_gb=3e-4, delete_unused=True)
    for number in range(1, 5):
        control.episode(25, number=number)
        control.expect("saved")
    deleted = control.expect("deleted")["episodes"]
    assert control.hang_up() == 0
    assert 1 <= deleted < 4
    check_rows_and_pictures(control.root, episodes=opened(control.root).num_episodes, length=25)


def test_over_its_quota_with_nothing_that_may_go_it_stops_recording(control: Control) -> None:
    control.up(quota_gb=1e-5)
    control.episode(25)
    control.expect("saved")
    assert "quota" in control.expect("full")["message"]
    assert control.hang_up() == 0
    check_rows_and_pictures(control.root, episodes=1, length=25)


def test_a_discarded_episode_leaves_no_trace(control: Control) -> None:
    control.up()
    control.episode(10, save=False)
    control.expect("discarded")
    assert not control.root.exists()
    control.episode(10)
    control.expect("saved")
    control.episode(5, save=False)
    control.expect("discarded")
    check_rows_and_pictures(control.root, episodes=1, length=10)


def test_an_open_episode_is_saved_when_control_goes_away(control: Control) -> None:
    control.up()
    control.start()
    control.frames(FPS + 5)
    assert control.hang_up() == 0
    check_rows_and_pictures(control.root, episodes=1, length=FPS + 5)


def test_an_episode_that_a_crash_cut_off_is_saved_by_the_next_recorder(control: Control) -> None:
    control.up()
    control.episode(10)
    control.expect("saved")
    control.start(2)
    control.frames(2 * FPS)
    (folder,) = (control.folder / ".data.staging").glob("open-*")
    videos = [folder / "front.mp4", folder / "top.mp4"]
    wait_until(lambda: min(count_pictures(v, FPS) for v in videos) >= 2 * FPS - 2)
    control.kill()
    assert opened(control.root).num_episodes == 1
    control.spawn()
    control.accept()
    recovered = control.expect("recovered")
    assert recovered["index"] == 1
    assert recovered["length"] >= 2 * FPS - 2
    assert control.expect("ready")["episodes"] == 2
    assert len(opened(control.root)) == 10 + recovered["length"]


def test_an_episode_begins_before_the_order_with_what_is_kept(control: Control) -> None:
    control.up(pre_trigger_s=1.0)
    control.frames(2 * FPS)
    control.start(tick=2 * FPS, before_s=0.5)
    control.frames(10, offset=2 * FPS)
    control.send("episode_end", episode=1, save=True, marks={})
    control.expect("saved")
    dataset = opened(control.root)
    assert len(dataset) == FPS // 2 + 10
    ticks = [dataset[i]["observation.state"][0].item() for i in range(len(dataset))]
    assert ticks == list(range(2 * FPS - FPS // 2, 2 * FPS + 10))
    for i in (0, 5, FPS // 2, len(dataset) - 1):
        seen = float(dataset[i]["observation.images.front"].mean()) * 255
        assert abs(seen - shade(int(ticks[i]))) < 4


def test_each_episode_is_judged_after_it_is_saved(control: Control) -> None:
    control.up()
    control.episode(10, success=True)
    saved = control.expect("saved")
    assert saved["marks"]["success"]
    checked = control.expect("checked")
    assert (checked["index"], checked["verdict"]) == (saved["index"], "REJECTED")
    assert "less than 1 s" in checked["message"]
    kept = json.loads((control.root / "meta" / "marks" / "episode-000000.json").read_text())
    assert (kept["verdict"], kept["success"]) == ("REJECTED", True)


def test_ticks_that_are_missing_for_long_end_an_episode_which_is_kept(control: Control) -> None:
    control.up()
    control.start()
    control.frames(FPS + 5)
    control.frames(5, offset=10 * FPS)
    assert "missing" in control.expect("failed")["message"]
    saved = control.expect("saved")
    assert saved["length"] == FPS + 5
    control.send("episode_end", episode=1, save=True, marks={})
    control.expect("discarded")
    control.episode(10, number=2)
    assert control.expect("saved")["episodes"] == 2


def test_a_full_disk_ends_recording_before_it_is_full(control: Control) -> None:
    """What is open is saved, nothing new is begun, and it goes on when there is room."""
    free_gb = shutil.disk_usage(control.folder).free / 1e9
    if free_gb < 10:
        pytest.skip("the disk is nearly full")
    # Far from both ends: others write to the disk meanwhile, and delete.
    control.up(min_free_gb=free_gb - 4)
    control.start()
    control.frames(FPS + 5)
    ballast = control.folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8 * 10**9)
    assert control.expect("full")["free_gb"] < free_gb - 4
    assert "full" in control.expect("failed")["message"]
    assert control.expect("saved")["length"] >= FPS
    control.start(2)
    assert control.expect("failed")["episode"] == 2
    ballast.unlink()
    control.expect("room")
    control.episode(10, number=3)
    assert control.expect("saved")["episodes"] == 2


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="no LeRobot data set"):
        check_dataset(tmp_path, LAYOUT, FPS)


def test_a_second_recorder_is_refused(control: Control) -> None:
    control.up()
    first = control.process
    control.spawn()
    assert control.wait() == 2
    control.process = first


def test_pictures_can_be_kept_as_pictures_and_a_fragment_is_not_saved(control: Control) -> None:
    control.up(video=False)
    control.episode(6)
    control.expect("saved")
    control.start(2)
    control.frames(3)
    assert control.hang_up() == 0
    check_rows_and_pictures(control.root, episodes=1, length=6)


def test_a_slow_encoder_costs_no_row_and_no_picture(control: Control) -> None:
    """With room for a second of pictures, and a codec that needs as long for each."""
    control.up(buffer_mb=1, vcodec="libsvtav1")
    control.episode(120)
    assert control.expect("saved")["length"] == 120
    dataset = opened(control.root)
    assert len(dataset) == 120
    assert dataset[119]["observation.images.front"].shape == (3, 64, 96)


def test_the_name_of_the_data_set_is_kept_for_a_push(control: Control) -> None:
    control.up(repo_id="me/cubes")
    assert kept_name(control.root) == "me/cubes"
    assert control.hang_up() == 0
    control.up()
    assert kept_name(control.root) == "me/cubes", "nobody named another"


def test_it_ends_when_told_to(control: Control) -> None:
    control.up()
    assert control.process is not None
    assert control.process.pid is not None
    os.kill(control.process.pid, signal.SIGTERM)
    assert control.wait() == 0
