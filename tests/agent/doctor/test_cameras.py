"""Cameras that are well, black, frozen, slow or gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.control.build import make_robot
from agent.doctor.cameras import cameras
from agent.doctor.check import Finding, Verdict
from agent.ipc import FrameLayout
from robots.sim import SO101Sim, SO101SimConfig


@pytest.fixture
def powered() -> Iterator[tuple[SO101Sim, FrameLayout]]:
    robot, layout = make_robot(SO101SimConfig(id=f"see{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    with robot.powered():
        yield robot, layout


class Camera:
    """LeRobot's interface, as far as it is used; ``pause_s`` before each of the same pictures."""

    def __init__(self, level: int, *, noise: bool, fps: int = 30, pause_s: float = 0.01) -> None:
        self.fps, self.width, self.height = fps, 32, 24
        self.is_connected = False
        self._level, self._noise, self._pause_s = level, noise, pause_s
        self._random = np.random.default_rng(0)
        self.latest_timestamp: float | None = None

    def connect(self) -> None:
        self.is_connected = True

    def async_read(self, timeout_ms: float) -> Any:
        time.sleep(self._pause_s)
        self.latest_timestamp = time.perf_counter()
        high = 3 if self._noise else 1
        return (self._level + self._random.integers(0, high, (24, 32, 3))).astype(np.uint8)

    def disconnect(self) -> None:
        self.is_connected = False


def look(camera: Camera, layout: FrameLayout) -> Finding:
    robot: Any = type("Robot", (), {"cameras": {"front": camera}})()
    (said,) = cameras(robot, layout)
    assert not camera.is_connected
    return said


EMPTY = FrameLayout((), (), ())


def test_a_sound_camera(powered: tuple[SO101Sim, FrameLayout]) -> None:
    (said,) = cameras(*powered)
    if said.verdict is Verdict.WARN:  # A busy host: its pictures do come late.
        assert "more light" in said.remedy or "is the host busy?" in said.remedy
    else:
        assert said.verdict is Verdict.OK
    assert "of 30 frames/s" in said.detail
    assert "ms old" in said.detail
    assert not powered[0].cameras["front"].is_connected


def test_a_black_picture(powered: tuple[SO101Sim, FrameLayout]) -> None:
    powered[0].command(do="camera", fault="black")
    (said,) = cameras(*powered)
    assert said.verdict is Verdict.WARN
    assert "lens cap" in said.remedy


@pytest.mark.parametrize("fault", ["stall", "unplug"])
def test_a_camera_that_gives_no_pictures(powered: tuple[SO101Sim, FrameLayout], fault: str) -> None:
    powered[0].command(do="camera", fault=fault)
    (said,) = cameras(*powered)
    assert said.verdict is Verdict.FAIL
    assert not powered[0].cameras["front"].is_connected


def test_a_frozen_picture() -> None:
    assert look(Camera(90, noise=True), EMPTY).verdict is Verdict.OK
    said = look(Camera(90, noise=False), EMPTY)
    assert said.verdict is Verdict.WARN
    assert "the same to the last bit" in said.detail


def test_a_slow_camera() -> None:
    said = look(Camera(90, noise=True, fps=200, pause_s=0.05), EMPTY)
    assert said.verdict is Verdict.WARN
    assert "of 200 frames/s" in said.detail
    assert "light" in said.remedy


def test_a_camera_whose_arm_is_not_there() -> None:
    robot, layout = make_robot(SO101SimConfig(id="nobody"))
    (said,) = cameras(robot, layout)
    assert said.verdict is Verdict.FAIL
    assert "no such emulated arm" in said.detail


def test_the_stable_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(90, noise=True)
    camera.index_or_path = 0  # type: ignore[attr-defined]
    link = Path("/dev/v4l/by-id/usb-camera-index0")
    monkeypatch.setattr("agent.doctor.cameras.stable_name", lambda name: link)
    said = look(camera, EMPTY)
    assert said.verdict is Verdict.OK
    assert str(link) in said.remedy
