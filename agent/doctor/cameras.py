"""Each camera: does it open, at what rate, how fresh and bright is the picture, does it change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from lerobot.robots import Robot
from numpy.typing import NDArray

from agent.doctor.check import Finding, Verdict
from agent.ipc import FrameLayout
from robots.arm.stable import stable_name
from robots.errors import ArmadaError

_DARK = 8.0
"""Mean brightness (0–255) below which a picture counts as black: a lens cap measures 0–4."""

_FEWEST, _MOST = 10, 30
"""Frames that are looked at: about a second, whatever the rate."""

_SLOW = 0.8
"""Share of the configured rate below which a camera counts as slow."""

_OLD_PERIODS = 3.0

_DRAWN = "robots.sim"
"""Pictures of an emulated arm that stands still are equal to the last bit."""


def cameras(robot: Robot, layout: FrameLayout) -> Iterator[Finding]:
    """A line a camera; all are closed afterwards."""
    opened = getattr(robot, "cameras", {})
    if not opened:
        known = ", ".join(i.key for i in layout.images) or "none"
        yield Finding("cameras", Verdict.SKIP, f"none of its own to open (pictures: {known})")
    for key, camera in opened.items():
        yield _camera(f"camera {key}", camera)


def _camera(part: str, camera: Any) -> Finding:
    fps = int(camera.fps or 0)
    try:
        camera.connect()
        count = max(_FEWEST, min(_MOST, fps))
        camera.async_read(timeout_ms=2000)
        began = time.monotonic()
        frames = [camera.async_read(timeout_ms=2000) for _ in range(count)]
        rate = count / max(time.monotonic() - began, 1e-9)
        age_s = _age_s(camera)
    except (OSError, RuntimeError, ValueError, ArmadaError) as error:
        said = error.message if isinstance(error, ArmadaError) else " ".join(str(error).split())
        remedy = "`lerobot-find-cameras` lists what is plugged in; is it open in another program?"
        return Finding(part, Verdict.FAIL, said, remedy)
    finally:
        if camera.is_connected:
            camera.disconnect()
    return _judge(part, camera, frames, fps, rate, age_s)


def _age_s(camera: Any) -> float | None:
    """How old the newest picture is, s; ``None``: the camera doesn't tell."""
    taken = getattr(camera, "latest_timestamp", None)
    return None if taken is None else time.perf_counter() - taken


def _judge(
    part: str,
    camera: Any,
    frames: list[NDArray[np.uint8]],
    fps: int,
    rate: float,
    age_s: float | None,
) -> Finding:
    bright = float(np.mean(frames[-1]))
    shape = "×".join(str(n) for n in frames[-1].shape)
    wanted = f" of {fps}" if fps else ""
    detail = f"{shape}, {rate:.0f}{wanted} frames/s, brightness {bright:.0f} of 255"
    if age_s is not None:
        detail += f", newest {age_s * 1e3:.0f} ms old"
    if bright < _DARK:
        return Finding(part, Verdict.WARN, detail, "The picture is black: lens cap?")
    frozen = all(np.array_equal(frames[0], frame) for frame in frames[1:])
    if frozen and not type(camera).__module__.startswith(_DRAWN):
        detail += f"; {len(frames)} pictures are the same to the last bit"
        return Finding(part, Verdict.WARN, detail, "It hangs: unplug it and plug it in again")
    if fps and rate < fps * _SLOW:
        remedy = (
            "In low light exposure takes longer than a period: more light or a fixed exposure. "
            "Two cameras on one USB hub: other sockets, or fourcc MJPG"
        )
        return Finding(part, Verdict.WARN, detail, remedy)
    if fps and age_s is not None and age_s > _OLD_PERIODS / fps:
        return Finding(part, Verdict.WARN, detail, "Its pictures come late; is the host busy?")
    named = getattr(camera, "index_or_path", None)
    link = None if named is None else stable_name(named)
    if link is not None:
        remedy = f"Use {link}: it stays the same when something else is plugged in"
        return Finding(part, Verdict.OK, detail, remedy)
    return Finding(part, Verdict.OK, detail)
