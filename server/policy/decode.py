"""What a robot sent, checked and unpacked. Whatever it sent: an ``Ask``, or a ``ConfigError`` that
names the field."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.continuation import Guiding
from agent.policy.predict import Ask
from agent.policy.remote import wire
from agent.proto import policy_pb2 as pb
from robots.errors import ConfigError
from robots.names import check_name
from server.policy.sessions import Session

_MOST_NAMES = 64
_MOST_CAMERAS = 16
_MOST_PIXELS = 4096
_MOST_TEXT = 1000
_MOST_SCANS = 64
_LARGEST = 1e6
"""In a robot's units, degrees or −100..100: what is far beyond them overflows in the policy, and
fails the pass that it shares with other robots."""

_AS_IT_LIES = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers that begin a frame header; the others of that range are tables."""

_SCAN = b"\xff\xda"
"""Begins a scan. Within one, 0xFF is followed by 0."""

_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""


def decode_layout(request: pb.OpenRequest) -> FrameLayout:
    """The robot's features.

    Raises:
        ConfigError: names the field.
    """
    check_name("robot", request.robot)
    for name in ("state_names", "action_names"):
        _check_texts(name, getattr(request, name))
    _check_texts("rename_map", [*request.rename_map, *request.rename_map.values()])
    if len(request.cameras) > _MOST_CAMERAS:
        raise ConfigError(
            f"are more than {_MOST_CAMERAS}", field="cameras", value=len(request.cameras)
        )
    for camera in request.cameras:
        _check_texts("cameras.key", [camera.key])
        for side in (camera.height, camera.width):
            if not 1 <= side <= _MOST_PIXELS:
                raise ConfigError(
                    f"must be from 1 to {_MOST_PIXELS} pixels", field="cameras", value=side
                )
    return FrameLayout(
        tuple(request.state_names),
        tuple(request.action_names),
        tuple(ImageSpec(c.key, c.height, c.width) for c in request.cameras),
    )


def decode_guiding(request: pb.OpenRequest) -> Guiding | None:
    """How the robot's plans are continued; ``None``: they are not.

    Raises:
        ConfigError: names the field.
    """
    if not request.HasField("guidance"):
        return None
    weight = request.guidance.max_weight
    if not 0 < weight < math.inf:
        raise ConfigError("must be positive", field="guidance.max_weight", value=weight)
    return Guiding(exact=request.guidance.exact, max_weight=weight)


def decode_ask(request: pb.PredictRequest, session: Session) -> Ask:
    """The observation; its pictures bear the policy's names.

    Raises:
        ConfigError: names the field.
    """
    if len(request.task) > _MOST_TEXT:
        raise ConfigError(f"has more than {_MOST_TEXT} characters", field="task")
    layout = session.layout
    state = _numbers("state", request.state, len(layout.state_names))
    if len(state) != 1:
        raise ConfigError(
            f"must be {len(layout.state_names)} float32", field="state", value=len(request.state)
        )
    plan = _numbers("plan", request.plan, len(layout.action_names))
    if len(plan) and session.guiding is None:
        raise ConfigError("this session continues no plan", field="plan")
    if len(plan) > wire.MOST_ACTIONS:
        raise ConfigError(f"has more than {wire.MOST_ACTIONS} rows", field="plan", value=len(plan))
    if request.frozen > len(plan):
        raise ConfigError(
            f"must be at most the {len(plan)} rows of the plan",
            field="frozen",
            value=request.frozen,
        )
    return Ask(
        state=state[0],
        images=_images(request, session),
        task=request.task,
        robot=session.history,
        plan=plan if len(plan) else None,
        frozen=request.frozen,
        seed=request.seed if request.HasField("seed") else None,
    )


def _images(request: pb.PredictRequest, session: Session) -> dict[str, NDArray[np.uint8]]:
    sent = {image.key: image.jpeg for image in request.images}
    wanted = {view.key for view in session.views}
    if sent.keys() != wanted or len(sent) != len(request.images):
        raise ConfigError(
            f"must be one picture of each of {sorted(wanted)}",
            field="images",
            value=[image.key for image in request.images],
        )
    return {v.feature: decode_jpeg(sent[v.key], v.height, v.width, v.key) for v in session.views}


def decode_jpeg(data: bytes, height: int, width: int, key: str) -> NDArray[np.uint8]:
    """(height, width, 3) RGB.

    Args:
        data: The file.
        height, width: What it must be; looked up in its header before memory is taken for it.
        key: Of its camera.

    Raises:
        ConfigError: no JPEG, or one of another size.
    """
    field = f"images.{key}"
    if (size := jpeg_size(data)) != (height, width):
        raise ConfigError(f"must be a JPEG of {height}×{width}", field=field, value=size)
    # Each goes over the whole picture: a file can have a million of a few bytes. Encoders write
    # one, progressive ones a dozen.
    if (scans := data.count(_SCAN)) > _MOST_SCANS:
        raise ConfigError(f"has more than {_MOST_SCANS} scans", field=field, value=scans)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_IT_LIES)
    except cv2.error as error:
        raise ConfigError(f"can't be decoded: {error.err}", field=field) from error
    # A header that lies.
    if bgr is None or bgr.shape != (height, width, 3):
        raise ConfigError("can't be decoded", field=field)
    rgb: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) from a JPEG's first frame header; ``None``: it has none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        if marker == 0xFF:
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _numbers(name: str, data: bytes, width: int) -> NDArray[np.float32]:
    try:
        numbers = wire.unpack(data, width)
    except ValueError as error:
        raise ConfigError(str(error), field=name) from error
    if not np.isfinite(numbers).all():
        raise ConfigError("has numbers that are none (NaN)", field=name)
    if len(wild := numbers[np.abs(numbers) > _LARGEST]):
        raise ConfigError(
            f"must be from {-_LARGEST:.0e} to {_LARGEST:.0e}", field=name, value=float(wild[0])
        )
    return numbers


def _check_texts(name: str, texts: list[str]) -> None:
    if len(texts) > _MOST_NAMES:
        raise ConfigError(f"are more than {_MOST_NAMES}", field=name, value=len(texts))
    for text in texts:
        if not 1 <= len(text) <= _MOST_TEXT:
            raise ConfigError(f"must have 1–{_MOST_TEXT} characters", field=name, value=text[:50])
