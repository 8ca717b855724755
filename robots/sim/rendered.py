"""A camera on the MuJoCo arm's table: a renderer of its own, which draws at the camera's pace.

Behaves as LeRobot's ``OpenCVCamera``: pictures arrive by themselves, ``read_latest`` peeks at the
newest and refuses it when it is old, ``latest_timestamp`` is in ``time.perf_counter`` seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.cameras import Camera
from numpy.typing import NDArray

from robots.emulator.camera_faults import CameraFaults
from robots.emulator.frames import FrameFile
from robots.emulator.scene_file import SceneFile
from robots.emulator.world import folder
from robots.errors import DeviceError
from robots.sim.physics_config import SO101RenderedConfig

_START_S = 30.0
"""A renderer's first picture takes 0.7 s, on a busy machine a few."""

_LOOK_S = 0.001


class SO101Rendered(Camera):  # type: ignore[misc]
    """Hands out what its renderer draws.

    Args:
        config: See SO101RenderedConfig.
    """

    config_class = SO101RenderedConfig

    def __init__(self, config: SO101RenderedConfig) -> None:
        super().__init__(config)
        assert config.width is not None
        assert config.height is not None
        self._size = (config.height, config.width)
        self._config = config
        self._folder = folder(config.robot_id or "default")
        self._faults = CameraFaults(self._folder, config.view)
        self._renderer: subprocess.Popen[str] | None = None
        self._frames: FrameFile | None = None
        self._frame: NDArray[np.uint8] | None = None
        self._number = 0
        self._given = 0
        self.latest_timestamp: float | None = None

    def __str__(self) -> str:
        return f"the rendered camera ({self._config.view})"

    @property
    def is_connected(self) -> bool:
        return self._frames is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        """The views of this user's MuJoCo arms that are running."""
        found = []
        for path in folder("x").parent.glob("*/scene"):
            with contextlib.suppress(DeviceError):
                SceneFile(path.parent).close()
                found.append(
                    {"name": "SO-101 table", "type": "so101_rendered", "id": path.parent.name}
                )
        return found

    def connect(self, warmup: bool = True) -> None:
        """Start the renderer and wait for its first picture.

        Raises:
            ConnectionError: the camera is unplugged.
            DeviceError: there is no MuJoCo arm of that id, or nothing to draw with.
        """
        if self._faults.now() == "unplug":
            raise ConnectionError(f"{self} is unplugged")
        if self.is_connected:
            raise ConnectionError(f"{self} is connected already")
        SceneFile(self._folder).close()
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="camera-") as own:
            path = Path(own) / "frames"
            frames = FrameFile(path, *self._size, create=True)
            # Both have it open when the first picture is there: its name can go.
            self._renderer = self._start(path)
        self._frames = frames
        self._frame, self._number, self._given = None, 0, 0
        self._look()

    def read(self) -> NDArray[np.uint8]:
        """The next picture."""
        self._given = max(self._given, self._number)
        return self.async_read(timeout_ms=10_000)

    def async_read(self, timeout_ms: float = 200) -> NDArray[np.uint8]:
        """A picture that was not handed out here before.

        Raises:
            TimeoutError: there was none in time.
            RuntimeError: the camera is unplugged, or its renderer has died.
        """
        until = time.monotonic() + timeout_ms / 1e3
        while True:
            frame = self._look()
            if self._number > self._given and frame is not None:
                self._given = self._number
                return frame
            if time.monotonic() >= until:
                raise TimeoutError(f"no new picture from {self} within {timeout_ms} ms")
            time.sleep(_LOOK_S)

    def read_latest(self, max_age_ms: int = 500) -> NDArray[np.uint8]:
        """The newest picture, without waiting.

        Raises:
            TimeoutError: it is too old.
            RuntimeError: the camera is unplugged, or its renderer has died.
        """
        frame = self._look()
        if frame is None or self.latest_timestamp is None:
            raise RuntimeError(f"{self} has not captured any frames yet")
        age_ms = (time.perf_counter() - self.latest_timestamp) * 1e3
        if age_ms > max_age_ms:
            raise TimeoutError(
                f"the newest picture of {self} is too old: {age_ms:.0f} ms (limit {max_age_ms} ms)"
            )
        return frame

    def disconnect(self) -> None:
        """End the renderer."""
        renderer, self._renderer = self._renderer, None
        if renderer is not None:
            _end(renderer)
        if self._frames is not None:
            self._frames.close()
        self._frames = self._frame = self.latest_timestamp = None

    def _look(self) -> NDArray[np.uint8] | None:
        """Take over the newest picture unless something is wrong with the camera."""
        if self._frames is None or self._renderer is None:
            raise ConnectionError(f"{self} isn't connected")
        fault = self._faults.now()
        if fault == "unplug":
            raise RuntimeError(f"{self} is unplugged")
        number = self._frames.number
        if number == self._number and self._renderer.poll() is not None:
            raise RuntimeError(f"{self}: its renderer ended with {self._renderer.returncode}")
        if fault == "stall" or number == self._number:
            return self._frame
        newest = self._frames.read()
        if newest is not None:
            self._number, self.latest_timestamp = newest.number, newest.time_s
            if fault == "freeze" and self._frame is not None:
                return self._frame
            self._frame = np.zeros_like(newest.image) if fault == "black" else newest.image
        return self._frame

    def _start(self, frames: Path) -> subprocess.Popen[str]:
        config = self._config
        words = [
            f"--folder={self._folder}",
            f"--frames={frames}",
            f"--view={config.view}",
            f"--width={config.width}",
            f"--height={config.height}",
            f"--fps={config.fps}",
        ]
        renderer = subprocess.Popen(
            [sys.executable, "-m", "robots.emulator.render", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ),
            text=True,
            start_new_session=True,
        )
        assert renderer.stdout is not None
        said: dict[str, Any] = {}
        if select.select([renderer.stdout], [], [], _START_S)[0]:
            said = json.loads(renderer.stdout.readline() or "{}")
        if said.get("ready"):
            return renderer
        _end(renderer)
        reason = said.get("error") or f"it drew nothing (status {renderer.returncode})"
        raise DeviceError(f"the renderer can't be started: {reason}", field="--robot.cameras")


def _end(renderer: subprocess.Popen[str]) -> None:
    """The end of its stdin is the end of a renderer; one that doesn't notice is killed."""
    assert renderer.stdin is not None
    assert renderer.stdout is not None
    renderer.stdin.close()
    renderer.stdout.close()
    try:
        renderer.wait(timeout=5)
    except subprocess.TimeoutExpired:
        renderer.kill()
        renderer.wait()
