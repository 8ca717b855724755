"""The recorder as control sees it: a ring of slots that is filled or, when full, passed over.

A frame is one slot: state, action and all images together, so rows and pictures can't part. When
the recorder is too slow to give slots back, whole frames are dropped and counted; a tick never
waits. A dead recorder loses the episode that was open, and nothing that it had saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.peers import Emit, Peer
from agent.ipc import FrameBuffer, Message


class RecorderRole:
    """Feeds the recorder.

    Args:
        buffer: The ring.
        emit: Where events go.
        welcome: Fields that the recorder needs.
        on_gone: Called when the recorder is lost.
    """

    def __init__(
        self,
        *,
        buffer: FrameBuffer,
        emit: Emit,
        welcome: dict[str, Any],
        on_gone: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._emit = emit
        self._welcome = welcome
        self._on_gone = on_gone
        self._peer: Peer | None = None
        self._free: list[int] = []
        self._open: int | None = None
        self.ready = False
        self.dropped = 0
        self.episodes = 0
        self.frames = 0
        self.unsaved = 0

    # What the loop calls -------------------------------------------------------------------

    def start_episode(self, episode: int, task: str, tick: int) -> None:
        assert self._peer is not None
        self._peer.channel.send("episode_start", episode=episode, task=task, tick=tick)
        self._open = episode

    def end_episode(self, *, save: bool, marks: dict[str, Any] | None = None) -> None:
        if self._peer is not None and self._open is not None:
            self._peer.channel.send("episode_end", episode=self._open, save=save, marks=marks or {})
            self.unsaved += save
        self._open = None

    def tap(
        self,
        tick: int,
        time_s: float,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        images: dict[str, Any],
    ) -> None:
        """Put one frame into the ring if an episode is open and a slot is free."""
        if self._peer is None or self._open is None:
            return
        if not self._free:
            self.dropped += 1
            return
        slot = self._free.pop()
        views = self._buffer[slot]
        views.state[:] = state
        views.action[:] = action
        for key, view in views.images.items():
            view[:] = images[key]
        self._peer.channel.send("frame", slot=slot, tick=tick, t=time_s)

    @property
    def recording(self) -> bool:
        return self._open is not None

    def to_json(self) -> dict[str, Any]:
        return {
            "episodes": self.episodes,
            "frames": self.frames,
            "recording": self.recording,
            "dropped_frames": self.dropped,
            "unsaved_episodes": self.unsaved,
        }

    # What the peers call -------------------------------------------------------------------

    def welcome(self, peer: Peer) -> dict[str, Any]:
        if self._peer is not None:
            raise ValueError(f"there is a recorder already, pid {self._peer.pid}")
        self._peer = peer
        self._free = list(range(self._buffer.slots))
        return self._welcome

    def on_message(self, peer: Peer, message: Message) -> None:
        if message.kind == "free":
            slot = message.whole("slot", high=self._buffer.slots - 1)
            if slot in self._free:
                raise ValueError(f"slot={slot}: it is free already")
            self._free.append(slot)
        elif message.kind == "ready":
            self.episodes, self.frames = message.whole("episodes"), message.whole("frames")
            self.ready = True
        elif message.kind == "saved":
            self.episodes, self.frames = message.whole("episodes"), message.whole("frames")
            self.unsaved = max(0, self.unsaved - 1)
            self._emit("episode_saved", "an episode is on disk", **message.fields)
        elif message.kind in ("discarded", "repaired", "failed"):
            if message.kind == "failed":
                self.unsaved = 0
            cause = message.fields.pop("message", message.kind)
            self._emit(f"recorder_{message.kind}", str(cause), **message.fields)

    def on_lost(self, peer: Peer) -> None:
        if peer is not self._peer:
            return
        lost, self._open = self._open, None
        self._peer = None
        self.ready = False
        self.unsaved = 0
        self._emit(
            "recorder_lost",
            "the recorder is gone; the arm goes on"
            + ("" if lost is None else ", the open episode is lost"),
            episode=lost,
        )
        self._on_gone()
