"""A LeRobot camera under supervision: never blocks or breaks a tick, knows how old its picture is,
notices when it is black or frozen, and comes back when it is plugged in again.

It stands where the camera stood in LeRobot's driver, which goes on reading it unmodified.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.arm.limb import brief

logger = logging.getLogger(__name__)

CAMERA_ERRORS = (OSError, RuntimeError, ValueError)
"""LeRobot's: no connection and time-outs are OSErrors, a dead read thread is a RuntimeError, a
picture of another size a ValueError or a RuntimeError."""

BLACK_BELOW = 8.0
"""Mean of 0..255. A lens cap measures 0–4, a dim room at night 12 and more."""

FROZEN_S = 1.0
FROZEN_TRAVEL = 0.05
"""Identical pixels for this long, while a joint went through this share of its range: a sensor's
noise alone makes two pictures differ, a drawn scene needs motion to."""

REOPEN_EVERY_S = 30.0
"""A picture that stays black or frozen: some cameras come up so, a lens cap stays a lens cap."""

RECONNECT_AFTER_S = 2.0
"""A picture this old: the camera is taken for hung and opened anew."""

BACK_OFF_S = (0.5, 1.0, 2.0, 5.0)
_THIN = 8
"""Every eighth pixel of every eighth row is looked at: 30 µs for 640×480."""


class SupervisedCamera:
    """Looks like the camera it wraps, but reading never fails.

    Args:
        name: Its key in the robot's configuration.
        camera: LeRobot's, not connected.
        max_age_s: An older picture is *stale*.
    """

    def __init__(self, name: str, camera: Any, max_age_s: float) -> None:
        self.name = name
        self.inner = camera
        self.reconnects = 0
        self._max_age_s = max_age_s
        self._open = False
        self._fault = ""
        self._frame: NDArray[Any] | None = None
        self._depth: NDArray[Any] | None = None
        self._taken = -np.inf
        self._thin: NDArray[Any] | None = None
        self._changed = 0.0
        self._travel = self._changed_at_travel = 0.0
        self._reopen_at = np.inf
        self._reconnecting: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # What LeRobot's driver uses ------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        return self._open

    def connect(self, warmup: bool = True) -> None:
        """Open the camera and wait for its first picture.

        Raises:
            OSError: and others of CAMERA_ERRORS.
        """
        if not self.inner.is_connected:
            self.inner.connect(warmup)
        self._open = True
        self._changed = time.perf_counter()

    def read_latest(self, max_age_ms: int = 500) -> NDArray[Any]:
        """The newest picture there is, however old: ask ``fault`` before it is believed."""
        if self._away():
            return self._last_frame()
        now = time.perf_counter()
        try:
            frame = self.inner.read_latest(max_age_ms=round(self._max_age_s * 1e3))
        except TimeoutError:
            self._fault = "stale"
            if now - max(self._taken, self._changed) > RECONNECT_AFTER_S:
                self._reconnect("its picture is old")
        except CAMERA_ERRORS as error:
            self._fault = "lost"
            self._reconnect(brief(error))
        else:
            self._look(frame, now)
        return self._last_frame()

    def read_latest_depth(self, max_age_ms: int = 500) -> NDArray[Any]:
        """The same for depth."""
        try:
            if self._away():
                raise TimeoutError("it is being opened anew")
            self._depth = self.inner.read_latest_depth(round(self._max_age_s * 1e3))
            if not getattr(self.inner, "use_rgb", True):
                self._fault, self._taken = "", time.perf_counter()
        except TimeoutError:
            self._fault = self._fault or "stale"
        except CAMERA_ERRORS as error:
            self._fault = "lost"
            self._reconnect(brief(error))
        if self._depth is None:
            self._depth = np.zeros((self.height, self.width, 1), np.uint16)
        return self._depth

    def disconnect(self) -> None:
        """Close the camera."""
        self._open = False
        thread, self._reconnecting = self._reconnecting, None
        if thread is not None:
            thread.join(1.0)
        if self.inner.is_connected:
            self.inner.disconnect()

    # What the arm asks ---------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """``lost``, ``stale``, ``black``, ``frozen``, or empty."""
        return self._fault

    @property
    def taken_s(self) -> float:
        """When the newest picture was taken, by ``time.perf_counter``; ``-inf``: there is none."""
        return self._taken

    @property
    def age_s(self) -> float:
        """Of the newest picture."""
        return time.perf_counter() - self._taken

    def moved(self, share: float) -> None:
        """The arm's quickest joint went through this share of its range since the last time."""
        self._travel += share

    # ---------------------------------------------------------------------------------------

    def _away(self) -> bool:
        if self._reconnecting is not None and not self._reconnecting.is_alive():
            self._reconnecting = None
        return self._reconnecting is not None

    def _last_frame(self) -> NDArray[Any]:
        if self._frame is None:
            return np.zeros((self.height, self.width, 3), np.uint8)
        return self._frame

    def _look(self, frame: NDArray[Any], now: float) -> None:
        taken = getattr(self.inner, "latest_timestamp", None) or now
        if taken == self._taken and self._frame is not None:
            return
        self._taken, self._frame = taken, frame
        thin = frame[::_THIN, ::_THIN]
        if self._thin is None or not np.array_equal(thin, self._thin):
            self._thin = thin.copy()
            self._changed, self._changed_at_travel = now, self._travel
        frozen = (
            now - self._changed > FROZEN_S
            and self._travel - self._changed_at_travel > FROZEN_TRAVEL
        )
        if now - taken > self._max_age_s:
            self._fault = "stale"
        elif thin.mean() < BLACK_BELOW:
            self._fault = "black"
        elif frozen:
            self._fault = "frozen"
        else:
            self._fault = ""
        if self._fault not in ("black", "frozen"):
            self._reopen_at = now + FROZEN_S
        elif now >= self._reopen_at:
            self._reopen_at = now + REOPEN_EVERY_S
            self._reconnect(f"its picture is {self._fault}")

    def _reconnect(self, cause: str) -> None:
        logger.warning("camera %s: %s; opening it anew", self.name, cause)
        self._reconnecting = threading.Thread(
            target=self._try_to_reconnect, name=f"camera-{self.name}", daemon=True
        )
        self._reconnecting.start()

    def _try_to_reconnect(self) -> None:
        attempt = 0
        while self._open:
            try:
                if self.inner.is_connected:
                    self.inner.disconnect()
                self.inner.connect()
            except CAMERA_ERRORS as error:
                logger.info("camera %s: %s", self.name, brief(error))
                time.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                attempt += 1
            else:
                self.reconnects += 1
                self._changed = time.perf_counter()
                return


def supervise_cameras(parts: list[Any], max_age_s: float) -> dict[str, SupervisedCamera]:
    """Put every camera of a robot and its arms under supervision; key → camera."""
    found: dict[int, SupervisedCamera] = {}
    for part in parts:
        cameras: dict[str, Any] = getattr(part, "cameras", {})
        for key, camera in cameras.items():
            # Two arms share the objects with the robot that they are part of.
            inner = camera.inner if isinstance(camera, SupervisedCamera) else camera
            cameras[key] = found.setdefault(id(inner), SupervisedCamera(key, inner, max_age_s))
    return {camera.name: camera for camera in found.values()}
