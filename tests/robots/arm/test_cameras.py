"""A supervised camera: reading never fails, and what is wrong with the picture is known."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robots.arm import cameras
from robots.arm.cameras import SupervisedCamera, supervise_cameras
from tests.helpers import wait_until


class Played:
    """A camera as LeRobot's look, that does what it is told."""

    fps, width, height = 30, 32, 24

    def __init__(self) -> None:
        self.is_connected = False
        self.latest_timestamp: float | None = None
        self.picture: NDArray[np.uint8] | Exception = np.full((24, 32, 3), 90, np.uint8)
        self.refuses = False
        self.connects = 0

    def connect(self, warmup: bool = True) -> None:
        if self.refuses:
            raise ConnectionError("nobody there")
        self.connects += 1
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def read_latest(self, max_age_ms: int) -> NDArray[np.uint8]:
        if isinstance(self.picture, Exception):
            raise self.picture
        self.latest_timestamp = time.perf_counter()
        return self.picture


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
def camera(played: Played) -> SupervisedCamera:
    camera = SupervisedCamera("front", played, 0.5)
    camera.connect()
    return camera


def test_a_good_picture_is_handed_on(camera: SupervisedCamera, played: Played) -> None:
    assert camera.read_latest() is played.picture
    assert camera.fault == ""
    assert camera.age_s < 0.5
    assert (camera.width, camera.height) == (32, 24)


def test_before_the_first_picture_there_is_a_black_one(
    camera: SupervisedCamera, played: Played
) -> None:
    played.picture = TimeoutError("not yet")
    assert camera.read_latest().shape == (24, 32, 3)
    assert camera.fault == "stale"


def test_a_black_picture_is_black(camera: SupervisedCamera, played: Played) -> None:
    played.picture = np.zeros((24, 32, 3), np.uint8)
    camera.read_latest()
    assert camera.fault == "black"


def test_the_same_pixels_are_frozen_once_the_arm_has_moved(
    camera: SupervisedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "FROZEN_S", 0.05)
    camera.read_latest()
    time.sleep(0.06)
    camera.read_latest()
    assert camera.fault == "", "a still scene and a still arm"
    camera.moved(0.2)
    camera.read_latest()
    assert camera.fault == "frozen"


def test_another_picture_is_not_frozen(
    camera: SupervisedCamera, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "FROZEN_S", 0.05)
    camera.read_latest()
    time.sleep(0.06)
    camera.moved(0.2)
    played.picture = np.full((24, 32, 3), 91, np.uint8)
    camera.read_latest()
    assert camera.fault == ""


def test_a_lost_camera_is_opened_again_and_keeps_its_last_picture(
    camera: SupervisedCamera, played: Played
) -> None:
    last = camera.read_latest()
    played.picture, played.refuses = RuntimeError("read thread is not running"), True
    assert camera.read_latest() is last
    assert camera.fault == "lost"
    assert camera.is_connected, "LeRobot's driver goes on reading the joints"
    played.picture, played.refuses = np.full((24, 32, 3), 50, np.uint8), False
    wait_until(lambda: camera.read_latest()[0, 0, 0] == 50, what="a new picture")
    assert camera.fault == ""
    assert played.connects == 2
    assert camera.reconnects == 1


def test_a_camera_that_hangs_is_opened_again(
    camera: SupervisedCamera, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "RECONNECT_AFTER_S", 0.05)
    camera.read_latest()
    played.picture = TimeoutError("too old")
    wait_until(lambda: (camera.read_latest(), played.connects)[1] == 2, what="it is opened again")


def test_it_is_closed_even_while_it_is_away(camera: SupervisedCamera, played: Played) -> None:
    played.picture, played.refuses = RuntimeError("gone"), True
    camera.read_latest()
    camera.disconnect()
    assert not camera.is_connected


def test_depth_never_fails_either(camera: SupervisedCamera, played: Played) -> None:
    played.read_latest_depth = lambda age: np.ones((24, 32, 1), np.uint16)  # type: ignore[attr-defined]
    assert camera.read_latest_depth().all()

    def fails(age: int) -> Any:
        raise TimeoutError("old")

    played.read_latest_depth = fails  # type: ignore[attr-defined]
    assert camera.read_latest_depth().all(), "the last one"
    assert camera.fault == "stale"


def test_two_arms_share_one_supervision(played: Played) -> None:
    class Part:
        def __init__(self) -> None:
            self.cameras: dict[str, Any] = {"front": played}

    parts = [Part(), Part()]
    found = supervise_cameras(parts, 0.5)
    assert parts[0].cameras["front"] is parts[1].cameras["front"] is found["front"]
    again = supervise_cameras(parts, 0.5)
    assert again["front"].inner is played, "never one in another"
