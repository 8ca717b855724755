"""Frames out of the ring of shared memory: copied at once, at the quality that the queue allows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.ipc import FRAME_FAULT, FRAME_INTERVENTION, FrameBuffer, Message
from agent.recorder.camera import Picture
from agent.recorder.ladder import Ladder
from agent.recorder.pictures import shrink
from agent.recorder.row import REPEATED, Row

_SAME_S = 1e-3
"""Two pictures of one camera that were taken within this are one: no camera is so fast."""


class Frame(NamedTuple):
    """A tick's row and its pictures (``None``: the one before again)."""

    row: Row
    pictures: dict[str, Picture | None]


class Intake:
    """Makes rows and pictures of control's messages.

    Args:
        buffer: The ring.
        ladder: Says what a lagging encoder costs.
    """

    def __init__(self, buffer: FrameBuffer, ladder: Ladder) -> None:
        self._buffer = buffer
        self._ladder = ladder
        self._taken: dict[str, float] = {}

    def begin(self) -> None:
        """The next pictures have none before them."""
        self._taken.clear()

    def take(self, message: Message, waiting_b: int) -> Frame:
        """One frame; its slot may be given back when this returns.

        Args:
            message: ``frame``.
            waiting_b: Bytes of pictures that wait for encoders.
        """
        slot = message.fields.get("slot")
        time_s = float(message["t"])
        views = None if slot is None else self._buffer[slot]
        quality = REPEATED if views is None else self._ladder.quality(waiting_b)
        pictures: dict[str, Picture | None] = {}
        qualities: list[float] = []
        taken: list[float] = []
        for spec in self._buffer.layout.images:
            at = float(message["taken"].get(spec.key, time_s))
            new = quality and abs(at - self._taken.get(spec.key, -np.inf)) > _SAME_S
            if views is not None and new:
                pictures[spec.key] = shrink(views.images[spec.key], quality)
                self._taken[spec.key] = at
            else:
                pictures[spec.key] = None
            qualities.append(quality if new else REPEATED)
            # A picture that is the one before was taken when that was.
            taken.append(self._taken.get(spec.key, at))
        if views is None:
            both = np.frombuffer(message.payload, np.float32)
            split = len(self._buffer.layout.state_names)
            state, action = both[:split], both[split:]
        else:
            state, action = views.state.copy(), views.action.copy()
        marks = int(message["marks"])
        row = Row(
            int(message["tick"]),
            time_s,
            state,
            action,
            tuple(taken),
            tuple(qualities),
            bool(marks & FRAME_INTERVENTION),
            bool(marks & FRAME_FAULT),
        )
        return Frame(row, pictures)
