"""``type: replay``: a recorded camera; gives an emulated arm a real camera's pictures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lerobot.cameras import Camera
from numpy.typing import NDArray

from robots.errors import ConfigError
from robots.replay.config import ReplayCameraConfig
from robots.replay.frames import EpisodeFrames
from robots.replay.info import read_info
from robots.replay.locate import locate


class ReplayCamera(Camera):  # type: ignore[misc]
    """Plays a data set's video at its rate, over and over.

    Args:
        config: See ReplayCameraConfig.

    Raises:
        DataError: the data set can't be played.
        ConfigError: no such camera, or a size or rate that isn't the recording's.
    """

    config_class = ReplayCameraConfig

    def __init__(self, config: ReplayCameraConfig) -> None:
        super().__init__(config)
        root = locate(config.dataset)
        self._dataset = read_info(root)
        known = ", ".join(self._dataset.cameras) or "none"
        key = config.key or (known if len(self._dataset.cameras) == 1 else "")
        if key not in self._dataset.cameras:
            raise ConfigError(
                "the data set has no such camera",
                field="--robot.cameras…key",
                value=config.key,
                remedy=f"It has: {known}",
            )
        self._key = key
        height, width, _ = self._dataset.cameras[key]
        recorded = {"fps": self._dataset.fps, "width": width, "height": height}
        for name, value in recorded.items():
            given = getattr(config, name)
            if given is not None and given != value:
                raise ConfigError(
                    f"the recording has {value}",
                    field=f"--robot.cameras…{name}",
                    value=given,
                    remedy=f"Give {value}",
                )
        self.fps, self.width, self.height = self._dataset.fps, width, height
        self._order = config.episodes or [e.index for e in self._dataset.episodes]
        self._frames: EpisodeFrames | None = None
        self._at = 0
        self._began = 0.0
        self._last_read = -1

    @property
    def is_connected(self) -> bool:
        return self._frames is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        """None: a recording is named, not found."""
        return []

    def connect(self, warmup: bool = True) -> None:
        self._open(0)

    def read(self) -> NDArray[np.uint8]:
        """The frame that is due now."""
        if self._frames is None:
            raise ConnectionError("the replay camera isn't connected")
        frame = self._due()
        if frame >= len(self._frames):
            self._open((self._at + 1) % len(self._order))
            frame = 0
        self._last_read = frame
        return self._frames.images(frame)[self._key]

    def read_latest(self, max_age_ms: int = 500) -> NDArray[np.uint8]:
        """The same: a recording is never stale."""
        return self.read()

    def async_read(self, timeout_ms: float = 200) -> NDArray[np.uint8]:
        """The next frame that wasn't read yet, waiting for its time."""
        assert self.fps
        wait = self._began + (self._last_read + 1) / self.fps - time.monotonic()
        if wait > timeout_ms / 1e3:
            raise TimeoutError(f"no frame is due within {timeout_ms} ms")
        time.sleep(max(0.0, wait))
        return self.read()

    def disconnect(self) -> None:
        if self._frames is not None:
            self._frames.close()
        self._frames = None

    def _due(self) -> int:
        assert self.fps
        return int((time.monotonic() - self._began) * self.fps + 1e-6)

    def _open(self, at: int) -> None:
        self.disconnect()
        self._at = at
        self._frames = EpisodeFrames(self._dataset, self._order[at], (self._key,))
        self._frames.images(0)
        self._began = time.monotonic()
        self._last_read = -1
