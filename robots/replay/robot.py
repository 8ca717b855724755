"""``--robot.type=replay``: a recorded data set as a robot.

Observations are the recorded frames; what is sent is kept beside what was recorded, open loop.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lerobot.robots import Robot
from numpy.typing import NDArray

from robots.errors import DataError
from robots.replay.config import ReplayRobotConfig
from robots.replay.frames import EpisodeFrames
from robots.replay.info import read_info
from robots.replay.locate import locate

_MEMORY_B = 512 * 1024 * 1024
"""Recordings up to this size, decoded, play from memory; larger ones are decoded ahead."""


class ReplayRobot(Robot):  # type: ignore[misc]
    """Plays episodes in order.

    Args:
        config: See ReplayRobotConfig.

    Raises:
        DataError: the data set can't be played.
    """

    config_class = ReplayRobotConfig
    name = "replay"

    def __init__(self, config: ReplayRobotConfig) -> None:
        self.config = config
        root = locate(config.dataset)
        self.dataset = read_info(root)
        for feature in ("observation.state", "action"):
            if feature not in self.dataset.features:
                raise DataError(f"has no {feature}", field="--robot.dataset", value=root)
        self.order = config.episodes or [e.index for e in self.dataset.episodes]
        for index in self.order:
            self.dataset.episode(index)
        super().__init__(config)
        self._state_names = self.dataset.names("observation.state")
        self._action_names = self.dataset.names("action")
        self._frames: EpisodeFrames | None = None
        self._decoded: dict[int, EpisodeFrames] = {}
        self._at = 0
        self._frame = -1
        self._began: float | None = None
        self.finished = False

    # Where it is ---------------------------------------------------------------------------

    @property
    def position(self) -> tuple[int, int]:
        """(episode, frame) of the last observation."""
        return self.order[self._at], self._frame

    def recorded_action(self) -> NDArray[np.float32]:
        """(A,) the action that was recorded with the last observation."""
        if self._frames is None or self._frame < 0:
            raise ConnectionError("nothing was observed yet")
        action: NDArray[np.float32] = self._frames.action[self._frame]
        return action

    @property
    def task(self) -> str:
        """The task of the first episode, in words."""
        tasks = self.dataset.episode(self.order[0]).tasks
        return tasks[0] if tasks else ""

    # LeRobot's interface -------------------------------------------------------------------

    @property
    def observation_features(self) -> dict[str, Any]:
        return {**dict.fromkeys(self._state_names, float), **self.dataset.cameras}

    @property
    def action_features(self) -> dict[str, type]:
        return dict.fromkeys(self._action_names, float)

    @property
    def is_connected(self) -> bool:
        return self._frames is not None

    def connect(self, calibrate: bool = True) -> None:
        """Open the first episode; a recording that fits into memory is decoded at once."""
        length = sum(self.dataset.episode(i).length for i in set(self.order))
        if length * sum(h * w * c for h, w, c in self.dataset.cameras.values()) <= _MEMORY_B:
            for index in set(self.order):
                self._decoded[index] = EpisodeFrames(self.dataset, index)
                self._decoded[index].decode_all()
        self._open(0)
        assert self._frames is not None
        self._frames.images(0)

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """A recording needs none."""

    def configure(self) -> None:
        """A recording needs none."""

    def get_observation(self) -> dict[str, Any]:
        """The frame that is due. After the last one the robot is ``finished`` and repeats it."""
        if self._frames is None:
            raise ConnectionError("the replay robot isn't connected")
        self._advance()
        state = self._frames.state[self._frame].tolist()
        return {
            **dict(zip(self._state_names, state, strict=True)),
            **self._frames.images(self._frame),
        }

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Nothing moves: a recording is what it is."""
        return action

    def disconnect(self) -> None:
        for frames in (self._frames, *self._decoded.values()):
            if frames is not None:
                frames.close()
        self._decoded.clear()
        self._frames = None

    # ---------------------------------------------------------------------------------------

    def _advance(self) -> None:
        assert self._frames is not None
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if self.config.speed == 0:
            due = self._frame + 1
        else:
            due = int((now - self._began) * self.dataset.fps * self.config.speed + 1e-6)
        if due < len(self._frames):
            self._frame = due
        elif self._at + 1 < len(self.order):
            self._open(self._at + 1)
            self._began, self._frame = now, 0
        elif self.config.loop:
            self._open(0)
            self._began, self._frame = now, 0
        else:
            self._frame = len(self._frames) - 1
            self.finished = True

    def _open(self, at: int) -> None:
        index = self.order[at]
        if self._frames is not None and not self._decoded:
            self._frames.close()
        self._at = at
        self._frames = self._decoded.get(index) or EpisodeFrames(self.dataset, index)
        self._frame = -1
        self._began = None
