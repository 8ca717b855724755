"""``python -m agent.recorder``: the recorder process, started by the supervisor.

One thread talks to control, copies frames out of shared memory and gives the slots back at once;
each camera's encoder, the saver and the judge have threads of their own. Nothing waits between them
but pictures: when many do, the next ones are reduced, then repeated (``ladder.py``).

Exit status: 0 control is gone or said so, 2 refused (another recorder, other features).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import datasets

from agent.data.hub.name import keep_name
from agent.data.lock import recording
from agent.ipc import Channel, FrameBuffer, FrameLayout, Message, connect
from agent.logs import configure
from agent.recorder.before import Before
from agent.recorder.config import RecordConfig
from agent.recorder.disk import Disk
from agent.recorder.episode import OpenEpisode
from agent.recorder.failures import FAILURES
from agent.recorder.intake import Frame, Intake
from agent.recorder.ladder import Ladder
from agent.recorder.saver import Saver
from agent.recorder.staging import CACHE, Staging
from agent.recorder.writer import MIN_EPISODE_S, EpisodeWriter
from robots.errors import ArmadaError

logger = logging.getLogger(__name__)

START_S = 120.0
"""How long to wait for control to listen: it imports LeRobot and connects the arm first."""

_LISTEN_S = 0.02
_REPORT_EVERY_S = 0.5
_QUOTA_EVERY_S = 30.0
_MB = 1024 * 1024


class Recorder:
    """Turns messages into episodes.

    Args:
        channel: To control.
        buffer: The ring.
        writer: The data set.
        config: Of recording.
        fps: Frames per second.
    """

    def __init__(
        self,
        channel: Channel,
        buffer: FrameBuffer,
        writer: EpisodeWriter,
        config: RecordConfig,
        fps: float,
    ) -> None:
        self._channel = channel
        self._writer = writer
        self._fps = fps
        self._answers: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._saver = Saver(
            writer, self._tell, quota_gb=config.quota_gb, delete_unused=config.delete_unused
        )
        limit_b = config.buffer_mb * _MB
        self._ladder = Ladder(limit_b)
        self._intake = Intake(buffer, self._ladder)
        self._before = Before(config.pre_trigger_s, fps, limit_b // 2)
        self._disk = Disk(writer.root, config.min_free_gb)
        self._open: OpenEpisode | None = None
        self._number = 0
        self._report_at = self._quota_at = 0.0
        self._full = False

    def run(self) -> None:
        """Until control is gone."""
        try:
            self._saver.start()
            while not self._channel.closed:
                self._saver.check()
                self._look_at_disk()
                self._report()
                for message in self._channel.wait(_LISTEN_S):
                    self._on_message(message)
                self._answer()
        finally:
            self._last_words()
            self._saver.end()

    def _on_message(self, message: Message) -> None:
        if message.kind == "frame":
            self._on_frame(message)
        elif message.kind == "episode_start":
            self._start(message)
        elif message.kind == "episode_end":
            self._end(message["episode"], save=message["save"], marks=message["marks"])
        elif message.kind == "episode_drop":
            self._saver.drop(message["episode"])
        elif message.kind == "episode_mark":
            self._saver.mark(message["episode"], success=message["success"])

    def _on_frame(self, message: Message) -> None:
        waiting_b = self._saver.waiting_b + (self._open.waiting_b if self._open else 0)
        frame = self._intake.take(message, waiting_b)
        if (slot := message.fields.get("slot")) is not None:
            self._channel.send("free", slot=slot)
        if self._open is None:
            self._before.add(frame)
        else:
            self._add(self._open, frame)

    def _add(self, episode: OpenEpisode, frame: Frame) -> None:
        try:
            episode.check()
            episode.add(frame.row, frame.pictures)
        except FAILURES as error:
            logger.exception("an episode can't be recorded any further")
            self._give_up(f"{type(error).__name__}: {error}")

    def _start(self, message: Message) -> None:
        if self._open is not None:
            self._open.drop()
        self._open, self._number = None, message["episode"]
        if self._full:
            self._tell("failed", episode=self._number, message=self._why_full)
            return
        try:
            self._open = self._writer.begin(message["task"])
        except FAILURES as error:
            logger.exception("an episode can't be begun")
            self._tell("failed", episode=self._number, message=f"{type(error).__name__}: {error}")
            return
        for frame in self._before.take(message["tick"], message["before_s"]):
            if self._open is not None:
                self._add(self._open, frame)
        self._intake.begin()

    def _end(self, number: int, *, save: bool, marks: dict[str, Any]) -> None:
        episode, self._open = self._open, None
        self._intake.begin()
        if episode is None:
            # It failed, and control has been told.
            self._tell("discarded", episode=number, message="there is nothing of it")
        elif not save or not episode.rows:
            episode.drop()
            self._tell("discarded", episode=number, message="as it was told to")
        else:
            self._hand_over(episode, marks)

    def _hand_over(self, episode: OpenEpisode, marks: dict[str, Any]) -> None:
        try:
            episode.end(marks)
        except OSError:
            logger.exception("an episode can't be ended in order")
            episode.stop()
            self._saver.save(self._number, episode, whole=False)
        else:
            self._saver.save(self._number, episode)

    def _give_up(self, why: str) -> None:
        """Recording can't go on: what there is is saved, and control begins anew."""
        episode, self._open = self._open, None
        self._intake.begin()
        self._tell("failed", episode=self._number, message=why)
        if episode is not None:
            episode.stop()
            self._saver.save(self._number, episode, whole=False)

    def _look_at_disk(self) -> None:
        now = time.monotonic()
        if self._saver.needs_room and now >= self._quota_at:
            self._quota_at = now + _QUOTA_EVERY_S
            self._saver.make_room()
        self._disk.look()
        full, self._full = self._full, self._disk.full or self._saver.over_quota
        if self._full is full:
            return
        free_gb = round(self._disk.free_b / 1e9, 2)
        if not self._full:
            self._saver.again()
            self._tell("room", message="there is room again", free_gb=free_gb)
            return
        self._tell("full", message=f"{self._why_full}: nothing is recorded", free_gb=free_gb)
        if self._open is not None:
            self._give_up(self._why_full)

    @property
    def _why_full(self) -> str:
        if self._disk.full:
            return "the disk is full"
        return "the quota is reached, and no episode of it was trained on or pushed"

    def _report(self) -> None:
        """How far the encoders lag behind."""
        now = time.monotonic()
        if self._open is not None and now >= self._report_at:
            self._report_at = now + _REPORT_EVERY_S
            self._tell("load", waiting=self._open.waiting, quality_steps=self._ladder.steps_down)

    def _last_words(self) -> None:
        episode, self._open = self._open, None
        if episode is None:
            return
        if episode.rows >= MIN_EPISODE_S * self._fps:
            self._hand_over(episode, {"fault": "the agent ended"})
        else:
            episode.drop()

    def _tell(self, kind: str, **fields: Any) -> None:
        self._answers.put((kind, fields))

    def _answer(self) -> None:
        while not self._answers.empty():
            kind, fields = self._answers.get_nowait()
            self._channel.send(kind, **fields)


def main(argv: list[str]) -> int:
    """Record until control is gone."""
    configure()
    parser = argparse.ArgumentParser(description="Records episodes; started by `armada run`.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--config", type=json.loads, required=True)
    args = parser.parse_args(argv)

    def on_term(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = RecordConfig(**args.config)
        datasets.config.HF_DATASETS_CACHE = Staging(args.root.resolve()).folder / CACHE
        with recording(args.root):
            _keep_name(args.root, config.repo_id)
            _record(args.socket, args.root, config)
    except ArmadaError as error:
        logger.error("%s", error)
        return 2
    return 0


def _keep_name(root: Path, repo_id: str) -> None:
    if repo_id == RecordConfig.repo_id:
        # The default is no name on any hub.
        return
    try:
        keep_name(root, repo_id)
    except OSError as error:
        # On a full disk too: what is to be recovered comes first.
        logger.warning("--dataset.repo_id can't be kept for a push: %s", error)


def _record(socket: Path, root: Path, config: RecordConfig) -> None:
    channel = connect(socket, timeout_s=START_S)
    channel.send("hello", role="recorder", pid=os.getpid())
    welcome: Message | None = None
    while welcome is None:
        messages = channel.wait(START_S)
        if not messages:
            return
        welcome = next((m for m in messages if m.kind == "welcome"), None)
    layout = FrameLayout.from_json(welcome["layout"])
    try:
        writer = EpisodeWriter(root, layout, welcome["fps"], welcome["robot_type"], config)
    except ArmadaError as error:
        channel.send("failed", message=str(error))
        channel.drain(1.0)
        raise
    if writer.repaired:
        channel.send("repaired", message="; ".join(writer.repaired))
    for saved in writer.recovered:
        message = f"an episode that was cut off was saved: {saved.frames} frames"
        channel.send("recovered", index=saved.index, length=saved.frames, message=message)
    buffer = FrameBuffer(Path(welcome["buffer"]), layout, welcome["slots"])
    recorder = Recorder(channel, buffer, writer, config, welcome["fps"])
    channel.send(
        "ready",
        episodes=writer.episodes,
        frames=writer.frames,
        root=str(root),
        encoder=writer.encoder.vcodec,
    )
    recorder.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
