"""A USB camera's stand-in that costs what one costs: a thread decodes JPEG pictures at their rate.

It behaves as LeRobot's ``OpenCVCamera``: pictures arrive by themselves, ``read_latest`` peeks at
the newest. OpenCV decodes without the interpreter.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lerobot.cameras import Camera
from numpy.typing import NDArray

from benchmarks.inference.camera_config import JpegLoopConfig


class JpegLoop(Camera):  # type: ignore[misc]
    """Plays a folder.

    Args:
        config: See JpegLoopConfig.
    """

    config_class = JpegLoopConfig

    def __init__(self, config: JpegLoopConfig) -> None:
        super().__init__(config)
        paths = sorted(Path(config.folder).glob("*.jpg"))
        self._jpegs = [np.frombuffer(path.read_bytes(), np.uint8) for path in paths]
        self._over = threading.Event()
        self._new = threading.Event()
        self._thread: threading.Thread | None = None
        self._frame: NDArray[np.uint8] | None = None
        self.latest_timestamp: float | None = None

    @property
    def is_connected(self) -> bool:
        return self._thread is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        """None: a folder is named, not found."""
        return []

    def connect(self, warmup: bool = True) -> None:
        """Start playing."""
        self._over.clear()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()
        self.async_read(5000)

    def read(self) -> NDArray[np.uint8]:
        """The next picture."""
        return self.async_read(1000)

    def async_read(self, timeout_ms: float = 200) -> NDArray[np.uint8]:
        """A picture that comes after this call or was not read yet.

        Raises:
            TimeoutError: there is none in time.
        """
        if not self._new.wait(timeout_ms / 1e3):
            raise TimeoutError(f"no new picture within {timeout_ms} ms")
        self._new.clear()
        assert self._frame is not None
        return self._frame

    def read_latest(self, max_age_ms: int = 500) -> NDArray[np.uint8]:
        """The newest picture.

        Raises:
            TimeoutError: it is too old.
        """
        assert self._frame is not None
        assert self.latest_timestamp is not None
        if (time.perf_counter() - self.latest_timestamp) * 1e3 > max_age_ms:
            raise TimeoutError(f"the newest picture is older than {max_age_ms} ms")
        return self._frame

    def disconnect(self) -> None:
        """Stop playing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._over.set()
            thread.join()

    def _play(self) -> None:
        period_s = 1 / self.fps
        due, number = time.perf_counter(), 0
        while not self._over.wait(max(0.0, due - time.perf_counter())):
            jpeg = self._jpegs[number % len(self._jpegs)]
            self._frame = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            self.latest_timestamp = time.perf_counter()
            self._new.set()
            number += 1
            # A camera doesn't catch up on pictures that it missed.
            due = max(due + period_s, time.perf_counter())
