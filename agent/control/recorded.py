"""Recorded actions as a source: first a smooth way to the first pose, then frame by frame, by time.

Whatever interrupts it (a stop, an arm that was away), it goes back by a smooth way to the frame at
which it was interrupted, and on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Observation
from agent.control.deviation import Deviation
from agent.control.guard import Guard
from agent.control.recorded_config import RecordedConfig
from agent.ipc import FrameLayout
from robots.arm.smooth import PEAK, minimum_jerk
from robots.errors import DataError
from robots.replay.frames import EpisodeFrames
from robots.replay.info import DatasetInfo, read_info
from robots.replay.locate import locate

APPROACH_S = 2.0
"""The way to a pose takes so long at the least."""

_SETTLE_S = 0.5
"""After it, until the arm is there too."""

_MARGIN = 1.2

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Actions:
    """An episode's numbers: action (N, A) in the robot's order, state (N, J) of the joints that
    both have."""

    episode: int
    action: Vector
    state: Vector


@dataclass(frozen=True)
class _Way:
    """From where the arm is to a frame's action: ticks and (A,) poses."""

    began: int
    ticks: int
    start: Vector
    target: Vector


def check_actions(config: RecordedConfig, layout: FrameLayout) -> DatasetInfo:
    """Whether a recording's actions can be sent to a robot.

    Raises:
        DataError: there is no such episode, or its actions are another robot's.
    """
    info = read_info(locate(config.dataset))
    for index in config.episodes:
        info.episode(index)
    for name in ("action", "observation.state"):
        if name not in info.features:
            raise DataError(f"has no {name}", field="dataset", value=info.root)
    named = info.names("action")
    if set(named) != set(layout.action_names):
        raise DataError(
            f"its actions are {', '.join(named)}; the robot's are {', '.join(layout.action_names)}",
            field="dataset",
            value=info.root,
            remedy="Name the --robot.type that it was recorded with",
        )
    return info


class RecordedSource:
    """Sends what was recorded.

    Args:
        config: Which episodes, how fast.
        layout: The robot's.
        guard: Knows how long a way takes.
        fps: Of the control loop, Hz.

    Raises:
        DataError: it can't be read, or is another robot's.
    """

    name = "recorded"

    def __init__(
        self, config: RecordedConfig, layout: FrameLayout, guard: Guard, fps: float
    ) -> None:
        info = check_actions(config, layout)
        self._order = [info.names("action").index(name) for name in layout.action_names]
        stated = info.names("observation.state")
        joints = tuple(name for name in layout.state_names if name in stated)
        self._recorded = [stated.index(name) for name in joints]
        self._observed = [layout.state_names.index(name) for name in joints]
        self._present = [layout.state_names.index(name) for name in layout.action_names]
        self._episodes = [self._read(info, index) for index in config.episodes]
        self._guard = guard
        self._fps = fps
        self._recorded_fps = info.fps
        self._frames_per_tick = info.fps * config.speed / fps
        self._deviation = Deviation(joints)
        self._at = 0
        self._frame = 0
        self._way: _Way | None = None
        self._playing: tuple[int, int] | None = None
        self.finished = False

    def propose(self, tick: int, observation: Observation) -> Vector | None:
        if self.finished:
            return None
        episode = self._episodes[self._at]
        if self._playing is None:
            action = self._approach(tick, observation, episode.action[self._frame])
            if action is not None:
                return action
            self._playing = (tick, self._frame)
        began, first = self._playing
        # By time: what a late tick slept through is not caught up with.
        self._frame = first + int((tick - began) * self._frames_per_tick + 1e-6)
        if self._frame >= len(episode.action):
            return self._next()
        self._deviation.note(
            episode.episode,
            self._frame / self._recorded_fps,
            episode.state[self._frame],
            observation.state[self._observed],
        )
        sent: Vector = episode.action[self._frame]
        return sent

    def acted(self, tick: int, observation: Observation) -> None:
        """Nobody is asked."""

    def reset(self) -> None:
        """The arm was driven by something else, or not at all: a smooth way back to this frame."""
        self._way = self._playing = None

    def to_json(self) -> list[dict[str, Any]]:
        """What came of it, an entry an episode."""
        return self._deviation.to_json()

    def _read(self, info: DatasetInfo, index: int) -> Actions:
        frames = EpisodeFrames(info, index, cameras=())
        frames.close()
        return Actions(index, frames.action[:, self._order], frames.state[:, self._recorded])

    def _approach(self, tick: int, observation: Observation, target: Vector) -> Vector | None:
        """The next pose on the way to ``target``; ``None`` when the arm is there."""
        if self._way is None:
            start = observation.state[self._present]
            needs_s = PEAK * _MARGIN * self._guard.seconds(target - start)
            ticks = round(max(APPROACH_S, needs_s) * self._fps)
            self._way = _Way(tick, ticks, start.copy(), target)
        way = self._way
        passed = tick - way.began
        if passed > way.ticks + _SETTLE_S * self._fps:
            return None
        share = minimum_jerk(passed / way.ticks)
        return (way.start + share * (way.target - way.start)).astype(np.float32)

    def _next(self) -> Vector | None:
        """The last action of this episode once more; the next one follows, or none."""
        last: Vector = self._episodes[self._at].action[-1]
        self._at += 1
        self._frame = 0
        self.reset()
        self.finished = self._at == len(self._episodes)
        return last
