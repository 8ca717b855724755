"""Frames in shared memory: what a robot looks like in bytes, and slots to put it in.

A *frame* here is one tick: the state vector, the action sent, and every camera image. The layout
follows from a robot's features and travels as JSON in the ``welcome`` message. The buffer itself
has no lock: which slot is whose is agreed upon over the channel (a slot is written, announced, and
not touched again until it is given back).
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGN = 64

MOST_LOOKED_AT = 8
"""Frames of one question to a policy; LeRobot's look at 1, 2 or 5."""

FRAME_INTERVENTION, FRAME_FAULT = 1, 2
"""Marks of a frame on its way to the recorder: their sum."""


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


@dataclass(frozen=True)
class ImageSpec:
    """One camera's image: uint8, (height, width, channels), RGB."""

    key: str
    height: int
    width: int
    channels: int = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    @property
    def nbytes(self) -> int:
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class FrameViews:
    """Views into one slot: state (S,) and action (A,) float32, images uint8 (H, W, C)."""

    state: NDArray[np.float32]
    action: NDArray[np.float32]
    images: Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class FrameLayout:
    """The features of a robot, in LeRobot's order and with LeRobot's names.

    Args:
        state_names: Scalar observation keys (``shoulder_pan.pos``), the order of the state vector.
        action_names: Action keys, the order of the action vector.
        images: The cameras.
    """

    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    images: tuple[ImageSpec, ...]

    @classmethod
    def from_features(
        cls, observation: Mapping[str, Any], action: Mapping[str, Any]
    ) -> FrameLayout:
        """From ``robot.observation_features`` (type or shape per key) and ``action_features``."""
        return cls(
            state_names=tuple(k for k, v in observation.items() if not isinstance(v, tuple)),
            action_names=tuple(action),
            images=tuple(ImageSpec(k, *v) for k, v in observation.items() if isinstance(v, tuple)),
        )

    @property
    def slot_nbytes(self) -> int:
        numbers = 4 * (len(self.state_names) + len(self.action_names))
        return _aligned(numbers) + sum(_aligned(image.nbytes) for image in self.images)

    def to_json(self) -> dict[str, Any]:
        return {
            "state": list(self.state_names),
            "action": list(self.action_names),
            "images": [[i.key, i.height, i.width, i.channels] for i in self.images],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrameLayout:
        return cls(
            state_names=tuple(data["state"]),
            action_names=tuple(data["action"]),
            images=tuple(ImageSpec(*i) for i in data["images"]),
        )


class FrameBuffer:
    """``slots`` frames in one memory-mapped file that other processes open by path."""

    def __init__(
        self, path: Path, layout: FrameLayout, slots: int, *, create: bool = False
    ) -> None:
        self.path, self.layout, self.slots = path, layout, slots
        size = slots * layout.slot_nbytes
        with path.open("w+b" if create else "r+b") as file:
            if create:
                file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._views = [self._slot_views(i * layout.slot_nbytes) for i in range(slots)]

    def __getitem__(self, slot: int) -> FrameViews:
        return self._views[slot]

    def _slot_views(self, offset: int) -> FrameViews:
        n_state, n_action = len(self.layout.state_names), len(self.layout.action_names)
        state = np.frombuffer(self._map, np.float32, n_state, offset)
        action = np.frombuffer(self._map, np.float32, n_action, offset + 4 * n_state)
        offset += _aligned(4 * (n_state + n_action))
        images = {}
        for spec in self.layout.images:
            flat = np.frombuffer(self._map, np.uint8, spec.nbytes, offset)
            images[spec.key] = flat.reshape(spec.shape)
            offset += _aligned(spec.nbytes)
        return FrameViews(state, action, images)
