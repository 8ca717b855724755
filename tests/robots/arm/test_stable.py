"""Devices by names that stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from lerobot.cameras.opencv import OpenCVCameraConfig
from lerobot.robots.so_follower import SO101FollowerConfig

from robots.arm import stable
from robots.arm.stable import by_stable_names, stable_name


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Two serial devices, one of them known by its identity and its socket."""
    for name in ("ttyACM0", "ttyACM1", "video0"):
        (tmp_path / name).touch()
    for kind in ("by-id", "by-path"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"arm-{kind}").symlink_to(tmp_path / "ttyACM0")
    (tmp_path / "by-id" / "webcam").symlink_to(tmp_path / "video0")
    return tmp_path


def roots(dev: Path) -> list[Path]:
    return [dev / "by-id", dev / "by-path", dev / "absent"]


def test_a_device_is_named_by_its_identity_before_its_socket(dev: Path) -> None:
    assert stable_name(str(dev / "ttyACM0"), roots(dev)) == dev / "by-id" / "arm-by-id"


def test_a_stable_name_is_left_alone_and_so_is_what_has_none(dev: Path) -> None:
    assert stable_name(str(dev / "by-id" / "arm-by-id"), roots(dev)) is None
    assert stable_name(str(dev / "ttyACM1"), roots(dev)) is None
    assert stable_name(str(dev / "gone"), roots(dev)) is None
    assert stable_name(97, roots(dev)) is None


def test_a_configuration_gets_stable_names(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = OpenCVCameraConfig(index_or_path=0, fps=30, width=640, height=480)
    other = OpenCVCameraConfig(index_or_path=Path("/dev/v4l/by-id/x"), fps=30, width=8, height=8)
    config = SO101FollowerConfig(port="/dev/ttyACM0", cameras={"a": camera, "b": other})

    def named(path: str | int, roots: object) -> Path | None:
        return {"/dev/ttyACM0": Path("/by-id/arm"), 0: Path("/by-id/webcam")}.get(path)

    monkeypatch.setattr(stable, "stable_name", named)
    changes = by_stable_names(config)
    assert config.port == "/by-id/arm"
    assert config.cameras["a"].index_or_path == Path("/by-id/webcam")
    assert config.cameras["b"].index_or_path == Path("/dev/v4l/by-id/x")
    assert changes == ["/dev/ttyACM0 is /by-id/arm", "0 is /by-id/webcam"]


def test_a_pseudo_terminal_under_a_name_of_ours_stays(tmp_path: Path) -> None:
    config = SO101FollowerConfig(port=str(tmp_path / "port"))
    assert by_stable_names(config) == []
