"""A camera that sees an emulated arm and its goal: two flat views, drawn when they are asked for.

The upper half looks from above (pan), the lower half from the side (lift, elbow, wrist); the arm
is light, the goal red. A tick across the tip shows the wrist's roll and a disc's size the gripper's
opening, so all six goal joints can be read off the picture.
"""

from __future__ import annotations

import math
import time
from typing import Any

import cv2
import numpy as np
from lerobot.cameras import Camera
from numpy.typing import NDArray

from robots.emulator import joints
from robots.emulator.camera_faults import CameraFaults
from robots.emulator.world import World, WorldFile, folder
from robots.errors import DeviceError
from robots.sim.config import SO101SceneConfig

_BACKGROUND = (38, 42, 48)
_TABLE = (70, 74, 80)
_ARM = (230, 226, 214)
_GOAL = (235, 64, 52)
_SUB_PIXEL_BITS = 4


class SO101Scene(Camera):  # type: ignore[misc]
    """Draws at most ``fps`` pictures a second, in the caller's thread (0.2 ms at 96×96).

    Fails like LeRobot's cameras when the fault script says so: stalled, the newest picture grows
    old; frozen, the same picture comes again with the time of now; unplugged,
    reading raises a RuntimeError and connecting a ConnectionError.

    Args:
        config: See SO101SceneConfig.
    """

    config_class = SO101SceneConfig

    def __init__(self, config: SO101SceneConfig) -> None:
        super().__init__(config)
        if not (config.fps and config.width and config.height):
            raise DeviceError("needs fps, width and height", field="--robot.cameras", value=config)
        self._robot_id = config.robot_id or "default"
        self._period_s = 1.0 / config.fps
        self._shape = (config.height, config.width)
        self._faults = CameraFaults(folder(self._robot_id), "scene")
        self._world: WorldFile | None = None
        self._frame: NDArray[np.uint8] | None = None
        self.latest_timestamp: float | None = None

    @property
    def is_connected(self) -> bool:
        return self._world is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        """The emulated arms of this user that are running."""
        found = folder("x").parent.glob("*/world")
        return [{"name": "SO-101 scene", "type": "so101_scene", "id": p.parent.name} for p in found]

    def connect(self, warmup: bool = True) -> None:
        if self._faults.now() == "unplug":
            raise ConnectionError("the scene camera is unplugged")
        self._world = WorldFile(folder(self._robot_id) / "world")
        self._frame = self.latest_timestamp = None
        if warmup:
            self.read_latest()

    def read(self) -> NDArray[np.uint8]:
        """Draw a picture now."""
        if self._world is None:
            raise ConnectionError("the scene camera isn't connected")
        fault = self._faults.now()
        if fault == "unplug":
            raise RuntimeError("the scene camera is unplugged")
        if fault != "stall" or self._frame is None:
            self.latest_timestamp = time.perf_counter()
            if fault != "freeze" or self._frame is None:
                self._frame = draw(self._world.read(), self._shape)
            if fault == "black":
                self._frame[:] = 0
        return self._frame

    def async_read(self, timeout_ms: float = 200) -> NDArray[np.uint8]:
        """The next picture, waiting for its time."""
        wait = self._period_s - self._age_s()
        if wait > timeout_ms / 1e3:
            raise TimeoutError(f"no picture is due within {timeout_ms} ms")
        time.sleep(max(0.0, wait))
        before = self.latest_timestamp
        frame = self.read()
        if self.latest_timestamp == before:
            raise TimeoutError(f"no new picture within {timeout_ms} ms")
        return frame

    def read_latest(self, max_age_ms: int = 500) -> NDArray[np.uint8]:
        """The picture of this moment; it is at most one period old unless the camera stalls."""
        frame = self._frame
        if frame is None or self._age_s() >= self._period_s:
            frame = self.read()
        if self._age_s() * 1e3 > max_age_ms:
            raise TimeoutError(f"the newest picture is older than {max_age_ms} ms")
        return frame

    def disconnect(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world = self._frame = self.latest_timestamp = None

    def _age_s(self) -> float:
        if self.latest_timestamp is None:
            return math.inf
        return time.perf_counter() - self.latest_timestamp


def draw(world: World, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The scene as uint8 (H, W, 3), RGB."""
    height, width = shape
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    middle = height // 2
    cv2.line(image, (0, middle), (width, middle), _TABLE, 1)
    cv2.line(image, (0, height - 2), (width, height - 2), _TABLE, 1)
    for ticks, colour, solid in ((world.goal, _GOAL, False), (world.position, _ARM, True)):
        share = joints.unit(ticks)
        _from_above(image, share, colour, solid)
        _from_the_side(image, share, colour, solid)
    return image


def _from_above(
    image: NDArray[np.uint8], share: NDArray[np.float64], colour: Any, solid: bool
) -> None:
    height, width = image.shape[:2]
    base = np.array([width / 2, height * 0.48])
    angle = (share[0] - 0.5) * 2.6
    tip = base + height * 0.4 * np.array([np.sin(angle), -np.cos(angle)])
    if solid:
        _line(image, base, tip, colour, 2)
    _tip(image, tip, share, colour, solid)


def _from_the_side(
    image: NDArray[np.uint8], share: NDArray[np.float64], colour: Any, solid: bool
) -> None:
    height, width = image.shape[:2]
    point = np.array([width * 0.2, height * 0.95])
    angle = 0.0
    lengths = (0.2 * height, 0.2 * height, 0.1 * height)
    turns = (
        np.pi / 2 - (share[1] - 0.5) * 1.8,
        -np.pi / 2 * 0.7 - (share[2] - 0.5) * 1.8,
        -(share[3] - 0.5) * 1.8,
    )
    for length, turn in zip(lengths, turns, strict=True):
        angle += turn
        after = point + length * np.array([np.cos(angle), -np.sin(angle)])
        if solid:
            _line(image, point, after, colour, 2)
        point = after
    _tip(image, point, share, colour, solid)


def _tip(
    image: NDArray[np.uint8],
    at: NDArray[np.float64],
    share: NDArray[np.float64],
    colour: Any,
    solid: bool,
) -> None:
    size = image.shape[0] / 96
    roll = (share[4] - 0.5) * np.pi
    arm = 6 * size * np.array([np.cos(roll), np.sin(roll)])
    _line(image, at - arm, at + arm, colour, 1)
    radius = (1.5 + 3.5 * float(np.clip(share[5], 0, 1))) * size
    cv2.circle(
        image,
        _fixed(at),
        round(radius * (1 << _SUB_PIXEL_BITS)),
        colour,
        1 if solid else -1,
        cv2.LINE_AA,
        _SUB_PIXEL_BITS,
    )


def _line(
    image: NDArray[np.uint8], a: NDArray[np.float64], b: NDArray[np.float64], colour: Any, px: int
) -> None:
    thick = max(1, round(px * image.shape[0] / 96))
    cv2.line(image, _fixed(a), _fixed(b), colour, thick, cv2.LINE_AA, _SUB_PIXEL_BITS)


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates: a motion below one pixel still shows."""
    x, y = np.round(point * (1 << _SUB_PIXEL_BITS)).astype(int)
    return int(x), int(y)
