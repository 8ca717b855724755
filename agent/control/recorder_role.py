"""The recorder as control sees it: a ring of slots that is filled or, when full, passed over.

A frame is one slot: state, action and all images together, so rows and pictures can't part. When
the recorder is too slow to give slots back, the row goes over the channel by itself, and the
recorder repeats the pictures before it and marks them; a tick never waits. A dead recorder loses
nothing that it had saved; what was open is recovered by the next one up to its last second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.peers import Emit, Peer
from agent.ipc import FRAME_FAULT, FRAME_INTERVENTION, FrameBuffer, Message

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class RecorderRole:
    """Feeds the recorder.

    Args:
        buffer: The ring.
        emit: Where events go.
        welcome: Fields that the recorder needs.
        on_gone: Called when the recorder is lost.
        between: Frames go to the recorder between episodes too: it keeps the last seconds, with
            which the next episode may begin (``before_s``).
    """

    def __init__(
        self,
        *,
        buffer: FrameBuffer,
        emit: Emit,
        welcome: dict[str, Any],
        on_gone: Callable[[], None],
        between: bool = False,
    ) -> None:
        self._buffer = buffer
        self._emit = emit
        self._welcome = welcome
        self._on_gone = on_gone
        self._between = between
        self._peer: Peer | None = None
        self._free: list[int] = []
        self._open: int | None = None
        self._there = False
        self._failures = 0
        self._not_before = 0.0
        self.repeated = 0
        self.dropped = 0
        self.waiting = 0
        self.quality_steps = 0
        self.episodes = 0
        self.frames = 0
        self._unanswered: set[int] = set()
        self._dropping: set[int] = set()

    # What the loop calls -------------------------------------------------------------------

    def start_episode(self, episode: int, task: str, tick: int, *, before_s: float = 0.0) -> None:
        """Open an episode.

        Args:
            episode: Its number in this run.
            task: In words.
            tick: Its first frame's.
            before_s: The frames of so many seconds before ``tick`` become its beginning, as far as
                the recorder has them (``--dataset.pre_trigger_s``).
        """
        assert self._peer is not None
        self._peer.channel.send(
            "episode_start", episode=episode, task=task, tick=tick, before_s=before_s
        )
        self._open = episode

    def end_episode(self, *, save: bool, marks: Mapping[str, Any] | None = None) -> None:
        """Close the open episode, if there is one.

        Args:
            save: Whether it is kept.
            marks: What is known of it, JSON values: ``success`` (bool or ``None``: not known),
                ``intervention`` (bool), ``fault`` (why it is doubtful; text), ``trigger`` (what
                began it; text), and whatever else is worth keeping.
        """
        if self._peer is not None and self._open is not None:
            self._peer.channel.send(
                "episode_end", episode=self._open, save=save, marks=dict(marks or {})
            )
            if save:
                self._unanswered.add(self._open)
        self._open = None

    def drop_episode(self, episode: int) -> None:
        """Have an episode deleted that was ended and kept.

        Args:
            episode: Its number; the recorder that had it is still there.
        """
        if self._peer is not None:
            self._peer.channel.send("episode_drop", episode=episode)
            self._dropping.add(episode)

    def mark_episode(self, episode: int, *, success: bool) -> None:
        """Say what became of an episode that was ended and kept.

        Args:
            episode: As ``drop_episode``.
            success: What became of it.
        """
        if self._peer is not None:
            self._peer.channel.send("episode_mark", episode=episode, success=success)

    def tap(
        self,
        tick: int,
        time_s: float,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        images: Mapping[str, Any],
        *,
        taken_s: Mapping[str, float] | None = None,
        intervention: bool = False,
        fault: bool = False,
    ) -> None:
        """Hand one frame to the recorder if an episode is open, or if frames between episodes are
        kept; never waits.

        Args:
            tick: A gap to the tick before is filled by the recorder, and marked.
            time_s: When the joints were read, seconds since the epoch.
            state, action: (S,) and (A,).
            images: Camera key → uint8 (H, W, C).
            taken_s: Camera key → when its picture was taken, seconds since the epoch; a camera that
                is not in it is taken to be of ``time_s``.
            intervention: Whether a human drove.
            fault: Whether something was amiss at this tick that a policy must not learn from.
        """
        if self._peer is None or (self._open is None and not (self._between and self._there)):
            return
        taken = {key: round(at, 6) for key, at in (taken_s or {}).items()}
        told: dict[str, Any] = {
            "tick": tick,
            "t": time_s,
            "taken": taken,
            "marks": FRAME_INTERVENTION * intervention + FRAME_FAULT * fault,
        }
        if not self._free:
            row = np.concatenate([state, action]).astype(np.float32).tobytes()
            sent = self._peer.channel.send("frame", row, **told)
            self.repeated += sent
            self.dropped += not sent
            return
        slot = self._free.pop()
        views = self._buffer[slot]
        views.state[:] = state
        views.action[:] = action
        for key, view in views.images.items():
            view[:] = images[key]
        if not self._peer.channel.send("frame", slot=slot, **told):
            self._free.append(slot)
            self.dropped += 1

    @property
    def unsaved(self) -> int:
        """Episodes that were ended and are not on the disk yet, or still there though dropped."""
        return len(self._unanswered | self._dropping)

    @property
    def ready(self) -> bool:
        """Whether an episode can begin now."""
        return self._there and time.monotonic() >= self._not_before

    @property
    def recording(self) -> bool:
        return self._open is not None

    def to_json(self) -> dict[str, Any]:
        return {
            "episodes": self.episodes,
            "frames": self.frames,
            "recording": self.recording,
            "repeated_pictures": self.repeated,
            "dropped_frames": self.dropped,
            "waiting_pictures": self.waiting,
            "quality_steps": self.quality_steps,
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
            self._there, self._failures, self._not_before = True, 0, 0.0
        elif message.kind == "saved":
            self.episodes, self.frames = message.whole("episodes"), message.whole("frames")
            self._unanswered.discard(message.whole("episode"))
            self._failures = 0
            self._emit("episode_saved", "an episode is on disk", **message.fields)
        elif message.kind == "dropped":
            self.episodes, self.frames = message.whole("episodes"), message.whole("frames")
            self._forget(message.whole("episode"))
            self._emit("recorder_dropped", message.text("message"), **_rest(message))
        elif message.kind == "load":
            self.waiting = message.whole("waiting")
            self.quality_steps = message.whole("quality_steps")
        elif message.kind == "full":
            self._there = False
            self._emit("recorder_full", message.text("message"), **_rest(message))
        elif message.kind == "room":
            self._there = True
            self._emit("recorder_room", message.text("message"), **_rest(message))
        elif message.kind in ("discarded", "failed"):
            self._ended(message)
        elif message.kind in ("recovered", "checked", "repaired", "deleted", "marked", "quota"):
            self._emit(f"recorder_{message.kind}", message.text("message"), **_rest(message))

    def _ended(self, message: Message) -> None:
        """An episode is over and not saved, whether or not control had ended it."""
        episode = message.fields.get("episode")
        self._forget(episode)
        cause = str(message.fields.get("message", message.kind))
        self._emit(f"recorder_{message.kind}", cause, **_rest(message))
        if self._open is not None and episode == self._open:
            self._open = None
            if message.kind == "failed":
                # What it failed of may last: asked at every tick, it would say so at every tick.
                pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
                self._failures += 1
                self._not_before = time.monotonic() + pause_s
            self._on_gone()

    def _forget(self, episode: Any) -> None:
        """There is nothing to wait for."""
        self._unanswered -= {episode}
        self._dropping -= {episode}

    def on_lost(self, peer: Peer) -> None:
        if peer is not self._peer:
            return
        lost, self._open = self._open, None
        self._peer = None
        self._there = False
        told = "the recorder is gone; the arm goes on"
        if lost is not None:
            told += ", the next one recovers the open episode"
        if self._dropping:
            told += "; an episode that was to be dropped may still be in the data set"
        self._unanswered.clear()
        self._dropping.clear()
        self._emit(
            "recorder_lost",
            told,
            episode=lost,
        )
        self._on_gone()


def _rest(message: Message) -> dict[str, Any]:
    return {name: value for name, value in message.fields.items() if name != "message"}
