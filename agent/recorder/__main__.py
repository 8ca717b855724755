"""``python -m agent.recorder``: the recorder process, started by the supervisor.

Two threads: one talks to control, copies frames out of shared memory and gives the slots back at
once; the other feeds LeRobot. Between them is a queue of bounded size: when it is full, slots are
not given back, control runs out of them and drops whole frames, and says so.

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
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from agent.data.lock import recording
from agent.ipc import Channel, FrameBuffer, FrameLayout, Message, connect
from agent.logs import configure
from agent.recorder.config import RecordConfig
from agent.recorder.staging import Staging
from agent.recorder.writer import EpisodeWriter
from robots.errors import ArmadaError

logger = logging.getLogger(__name__)

START_S = 120.0
"""How long to wait for control to listen: it imports LeRobot and connects the arm first."""

MIN_EPISODE_S = 1.0
"""An episode that is open when control goes away is worth keeping from this length on."""


@dataclass(frozen=True)
class Frame:
    """A frame on its way to the data set, copied out of shared memory."""

    state: NDArray[np.float32]
    action: NDArray[np.float32]
    images: Mapping[str, NDArray[np.uint8]]


Work = Callable[[], None]


class Recorder:
    """Turns messages into episodes.

    Args:
        channel: To control.
        buffer: The ring.
        writer: The data set.
        limit: Frames that may wait for the writer.
        fps: Frames per second.
    """

    def __init__(
        self,
        channel: Channel,
        buffer: FrameBuffer,
        writer: EpisodeWriter,
        *,
        limit: int,
        fps: float,
    ) -> None:
        self._channel = channel
        self._buffer = buffer
        self._writer = writer
        self._fps = fps
        self._work: queue.Queue[Work | None] = queue.Queue(limit)
        self._answers: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self._lost = False
        self._images: Mapping[str, NDArray[np.uint8]] = {
            spec.key: np.zeros(spec.shape, np.uint8) for spec in buffer.layout.images
        }
        self._thread = threading.Thread(target=self._write, name="writer")

    def run(self) -> None:
        """Until control is gone."""
        self._thread.start()
        try:
            while not self._channel.closed:
                self._check_writer()
                for message in self._channel.wait(0.02):
                    self._on_message(message)
                self._answer()
        finally:
            if self._thread.is_alive():
                self._work.put(self._last_words)
                self._work.put(None)
                self._thread.join()

    def _on_message(self, message: Message) -> None:
        if message.kind == "frame":
            frame = self._frame(message)
            self._put(lambda: self._add(frame))
        elif message.kind == "episode_start":
            task = message["task"]
            self._put(lambda: self._start(task))
        elif message.kind == "episode_end":
            episode, save = message["episode"], message["save"]
            self._put(lambda: self._end(episode, save))

    def _frame(self, message: Message) -> Frame:
        """Out of the ring, or a row whose pictures had no room there: it has those before it."""
        slot = message.fields.get("slot")
        if slot is None:
            row = np.frombuffer(message.payload, np.float32)
            split = len(self._buffer.layout.state_names)
            return Frame(row[:split], row[split:], self._images)
        views = self._buffer[slot]
        self._images = {key: view.copy() for key, view in views.images.items()}
        frame = Frame(views.state.copy(), views.action.copy(), self._images)
        self._channel.send("free", slot=slot)
        return frame

    def _put(self, work: Work) -> None:
        """Wait for room: meanwhile slots stay taken, and control drops whole frames."""
        while True:
            try:
                self._work.put(work, timeout=0.05)
            except queue.Full:
                self._check_writer()
                self._answer()
                continue
            return

    def _check_writer(self) -> None:
        """A recorder whose writer died of a defect must end, and be started again: one that lives
        on takes frames and saves nothing."""
        if not self._thread.is_alive():
            raise RuntimeError("the writer's thread has died, see the log above")

    def _answer(self) -> None:
        while not self._answers.empty():
            kind, fields = self._answers.get_nowait()
            self._channel.send(kind, **fields)

    # The writer's thread -------------------------------------------------------------------

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except (ArmadaError, OSError, ValueError, RuntimeError) as error:
                # The boundary of this process: this episode is lost and that is said; recording
                # goes on with the next.
                logger.exception("an episode could not be recorded")
                self._answers.put(("failed", {"message": f"{type(error).__name__}: {error}"}))
                self._writer.discard()
                self._lost = True

    def _start(self, task: str) -> None:
        self._lost = False
        self._writer.start(task)

    def _add(self, frame: Frame) -> None:
        if not self._lost:
            self._writer.add(frame.state, frame.action, frame.images)

    def _end(self, episode: int, save: bool) -> None:
        if self._lost:
            return
        began = time.monotonic()
        if not save or not self._writer.open_frames:
            self._writer.discard()
            self._answers.put(("discarded", {"episode": episode}))
            return
        self._writer.save()
        saved = {
            "episode": episode,
            "episodes": self._writer.episodes,
            "frames": self._writer.frames,
            "seconds": round(time.monotonic() - began, 3),
        }
        self._answers.put(("saved", saved))

    def _last_words(self) -> None:
        if self._writer.open_frames >= MIN_EPISODE_S * self._fps:
            self._writer.save()
        else:
            self._writer.discard()


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
        # LeRobot reads metadata through a cache that it never clears; here it goes with the
        # episode's staging folder.
        datasets.config.HF_DATASETS_CACHE = Staging(args.root.resolve()).folder / "cache"
        with recording(args.root):
            _record(args.socket, args.root, config)
    except ArmadaError as error:
        logger.error("%s", error)
        return 2
    return 0


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
    recorder = Recorder(
        channel,
        FrameBuffer(Path(welcome["buffer"]), layout, welcome["slots"]),
        writer,
        limit=max(2, config.buffer_mb * 1024 * 1024 // layout.slot_nbytes),
        fps=welcome["fps"],
    )
    channel.send("ready", episodes=writer.episodes, frames=writer.frames, root=str(root))
    recorder.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
