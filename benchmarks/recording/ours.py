"""Armada's recorder process, fed as control feeds it: ``RecorderRole``, a socket, a ring."""

from __future__ import annotations

import json
import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from agent.control.build import RING_B
from agent.control.peers import Peers
from agent.control.recorder_role import RecorderRole
from agent.ipc import FrameBuffer
from agent.recorder.config import RecordConfig
from benchmarks.recording.forks import FORKS, run_recorder
from benchmarks.recording.scene import FPS, TASK, Scene

_START_S = 60.0


class Ours:
    """One recorder after the other on one data set.

    Args:
        folder: For everything; the data set is ``folder/data``.
        scene: What is recorded.
    """

    name = "Armada"

    def __init__(self, folder: Path, scene: Scene, **config: Any) -> None:
        self.root = folder / "data"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._scene = scene
        self._folder = folder
        self._config = RecordConfig(**config)
        self._buffer = FrameBuffer(
            folder / "ring",
            scene.layout,
            max(8, min(64, RING_B // scene.layout.slot_nbytes)),
            create=True,
        )
        self._process: BaseProcess | None = None
        self._role: RecorderRole
        self._peers: Peers
        self._tick = 0

    def start(self) -> None:
        """Begin a session; returns when it is ready."""
        self.launch()
        self._until(lambda: self._role.ready, "the recorder is ready")

    def launch(self) -> None:
        """Begin a session; returns at once."""
        self.events.clear()
        self._role = RecorderRole(
            buffer=self._buffer,
            emit=lambda kind, cause, **data: self.events.append((kind, data)),
            welcome={
                "layout": self._scene.layout.to_json(),
                "fps": FPS,
                "robot_type": "so101_follower",
                "buffer": str(self._folder / "ring"),
                "slots": self._buffer.slots,
            },
            on_gone=lambda: None,
        )
        self._peers = Peers(self._folder / "s", {"recorder": self._role})
        argv = [
            f"--socket={self._folder / 's'}",
            f"--root={self.root}",
            f"--config={json.dumps(self._config.to_json())}",
        ]
        self._process = FORKS.Process(target=run_recorder, args=(argv,))
        self._process.start()

    @property
    def ready(self) -> bool:
        """Whether it has recovered what there was to be recovered, and takes frames."""
        self._peers.poll()
        return self._role.ready

    def begin(self, episode: int) -> None:
        """Open an episode."""
        self._tick += 1000
        self._role.start_episode(episode, TASK, self._tick)

    def tap(self, episode: int, i: int) -> None:
        """One tick of it; never waits."""
        self._peers.poll()
        state = self._scene.state(episode, i)
        images = self._scene.images(i)
        self._role.tap(self._tick + i, time.time(), state, state, images)

    def end(self) -> None:
        """Save it; returns at once."""
        self._role.end_episode(save=True)

    @property
    def saved(self) -> dict[int, int]:
        """Frames of each episode of this session that the recorder says is saved."""
        told = [data for kind, data in self.events if kind == "episode_saved"]
        return {data["episode"]: data["length"] for data in told}

    def status(self) -> dict[str, Any]:
        """What telemetry would carry."""
        self._peers.poll()
        return self._role.to_json()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        # What it said before it died counts.
        self._peers.poll()
        self._peers.close()

    def finish(self) -> None:
        """Let it save what it has, and end it."""
        self._until(lambda: not self._role.unsaved, "all is saved")
        self._peers.close()
        assert self._process is not None
        self._process.join()

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + _START_S
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {_START_S:.0f} s: {what}")
            self._peers.poll()
            time.sleep(0.005)
