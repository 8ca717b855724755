"""The recorder process; the test plays control over a real socket and real shared memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import DataLoader

from agent.ipc import Channel, FrameBuffer, FrameLayout, ImageSpec, Message, listen
from agent.recorder.config import RecordConfig
from agent.recorder.features import check_dataset
from robots.errors import DataError

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
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None

    def spawn(self, **config: Any) -> subprocess.Popen[bytes]:
        fields = RecordConfig(**config).to_json()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "agent.recorder",
                f"--socket={self.folder / 'c.sock'}",
                f"--root={self.root}",
                f"--config={json.dumps(fields)}",
            ]
        )
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
            self.send("frame", slot=slot, tick=i, t=time.time())

    def episode(self, n: int, *, number: int = 1, save: bool = True, task: str = "t") -> None:
        self.send("episode_start", episode=number, task=task, tick=0)
        self.frames(n)
        self.send("episode_end", episode=number, save=save, marks={})

    def hang_up(self) -> int:
        assert self.channel is not None
        assert self.process is not None
        self.channel.drain(5)
        self.channel.close()
        return self.process.wait(60)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
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
    control.send("episode_start", episode=1, task="t", tick=0)
    control.frames(FPS + 5)
    assert control.hang_up() == 0
    check_rows_and_pictures(control.root, episodes=1, length=FPS + 5)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="no LeRobot data set"):
        check_dataset(tmp_path, LAYOUT, FPS)


def test_a_second_recorder_is_refused(control: Control) -> None:
    control.up()
    first = control.process
    second = control.spawn()
    assert second.wait(60) == 2
    control.process = first


def test_pictures_can_be_kept_as_pictures_and_a_fragment_is_not_saved(control: Control) -> None:
    control.up(video=False)
    control.episode(6)
    control.expect("saved")
    control.send("episode_start", episode=2, task="t", tick=0)
    control.frames(3)
    assert control.hang_up() == 0
    check_rows_and_pictures(control.root, episodes=1, length=6)


def test_a_slow_encoder_costs_slots_not_pictures(control: Control) -> None:
    """With room for two waiting frames the ring runs dry at once, and rows still equal pictures."""
    control.up(buffer_mb=1, vcodec="libsvtav1")
    control.episode(40)
    control.expect("saved")
    check_rows_and_pictures(control.root, episodes=1, length=40)


def test_it_ends_when_told_to(control: Control) -> None:
    control.up()
    assert control.process is not None
    control.process.send_signal(signal.SIGTERM)
    assert control.process.wait(30) == 0
