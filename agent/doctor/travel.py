"""How far each joint travelled in a recording, and which of them did not follow its actions.

Reads the numbers of the parquet files; no video is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agent.data.lock import reading
from agent.doctor.check import Finding, Verdict
from robots.errors import DataError
from robots.replay.info import DatasetInfo, read_info
from robots.replay.locate import locate

Spans = Mapping[str, tuple[float, float]]
"""Joint's name in the data set (``elbow_flex.pos``) → ends of its range."""

_MOST_FRAMES = 1_000_000
"""Nine hours at 30 Hz: as much as is read in a few seconds."""

_MOVES = 0.05
"""Share of the range from which on a joint counts as moved: 9° of 180°."""

_STANDS = 0.003
"""Share of the range below which a joint counts as not moved: an encoder flickers by a tick or
two of some 2,300."""

_FOLLOWS = 0.2
"""A state that spans less than this share of what its action spans does not follow it."""

_TAILS = (1.0, 99.0)
"""Percentiles between which a joint's travel is taken: one wrong reading is no motion."""

_BODY, _GRIPPER = (-100.0, 100.0), (0.0, 100.0)
_DEGREES = (-110.0, 110.0)
"""Degrees from the middle, where nothing says what a joint was calibrated to: SO-101 joints have
190° to 240°."""


@dataclass(frozen=True)
class Travel:
    """One joint's in a recording, in the recording's units.

    Args:
        joint: Its name.
        low, high: Ends of its range.
        state, action: (F,) values; ``action`` is ``None`` where the joint is only observed.
        episode: (F,) which episode each belongs to.
    """

    joint: str
    low: float
    high: float
    state: NDArray[np.float64]
    action: NDArray[np.float64] | None
    episode: NDArray[np.int64]

    def share(self, values: NDArray[np.float64]) -> float:
        """What ``values`` span of the range, without their outermost hundredths."""
        bottom, top = np.percentile(values, _TAILS)
        return float((top - bottom) / (self.high - self.low))

    def stuck(self) -> bool:
        """Whether the action moves and the state doesn't."""
        if self.action is None:
            return False
        return _not_followed(self.share(self.state), self.share(self.action))

    def stuck_episodes(self) -> list[int]:
        """The episodes in which it was so."""
        if self.action is None:
            return []
        return [
            int(e)
            for e in np.unique(self.episode)
            if _not_followed(
                self.share(self.state[self.episode == e]),
                self.share(self.action[self.episode == e]),
            )
        ]

    @property
    def error(self) -> float:
        """Mean distance between action and state."""
        return 0.0 if self.action is None else float(np.mean(np.abs(self.action - self.state)))


def travel(dataset: str | Path, spans: Spans | None = None) -> Iterator[Finding]:
    """A line for the recording and one for each joint.

    Args:
        dataset: A folder or a hub id that is on this machine.
        spans: The ranges of the arm that recorded it; without them −100..100 (gripper 0..100), or
            degrees where values lie outside.

    Raises:
        DataError: it can't be read; says why.
    """
    root = locate(str(dataset))
    with reading(root):
        info = read_info(root)
        for feature in ("observation.state", "action"):
            if feature not in info.features:
                raise DataError(f"has no {feature}", field="--dataset", value=root)
        if not info.frames:
            yield Finding("data", Verdict.SKIP, f"{root} holds no episode yet")
            return
        joints, frames = _joints(info, spans or {})
    whole = "" if frames == info.frames else f" (the first {frames} looked at)"
    detail = f"{len(info.episodes)} episodes, {info.frames} frames{whole} in {root}"
    yield Finding("data", Verdict.OK, detail)
    moving = [joint.joint for joint in joints if joint.share(joint.state) >= _MOVES]
    for joint in joints:
        yield _judge(joint, [name for name in moving if name != joint.joint])


def _joints(info: DatasetInfo, spans: Spans) -> tuple[list[Travel], int]:
    states, actions, episodes = [], [], []
    frames = 0
    for path in sorted({episode.data for episode in info.episodes}):
        table = pq.read_table(path, columns=["observation.state", "action", "episode_index"])
        states.append(_matrix(table["observation.state"]))
        actions.append(_matrix(table["action"]))
        episodes.append(table["episode_index"].to_numpy())
        frames += len(table)
        if frames >= _MOST_FRAMES:
            break
    state, action = np.concatenate(states), np.concatenate(actions)
    episode = np.concatenate(episodes)
    action_names = info.names("action")
    found = []
    scalars = enumerate(info.names("observation.state"))
    in_percent = bool(np.all(np.abs(state) <= 101.0))
    for column, name in scalars:
        told = action[:, action_names.index(name)] if name in action_names else None
        low, high = spans.get(name) or _assumed(name, in_percent)
        joint = name.removesuffix(".pos")
        found.append(Travel(joint, low, high, state[:, column], told, episode))
    return found, frames


def _assumed(name: str, in_percent: bool) -> tuple[float, float]:
    if "gripper" in name:
        return _GRIPPER
    return _BODY if in_percent else _DEGREES


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float64]:
    flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks])
    values: NDArray[np.float64] = flat.to_numpy().astype(np.float64)
    return values.reshape(len(column), -1)


def _not_followed(state: float, action: float) -> bool:
    return action >= _MOVES and state < action * _FOLLOWS


def _judge(joint: Travel, others_moving: list[str]) -> Finding:
    part = f"range {joint.joint}"
    used = joint.share(joint.state)
    detail = f"state {_span(joint.state)}: {_percent(used)} of {joint.low:.0f}..{joint.high:.0f}"
    if joint.action is not None:
        detail += f"; action {_span(joint.action)}: {_percent(joint.share(joint.action))}"
    if joint.stuck():
        detail += f". {joint.joint} is stuck: it stays {joint.error:.1f} away from its actions"
        return Finding(part, Verdict.WARN, detail, _stuck_remedy(joint.joint))
    episodes = joint.stuck_episodes()
    if episodes:
        listed = ", ".join(str(e) for e in episodes[:10]) + (" …" if len(episodes) > 10 else "")
        detail += f". {joint.joint} is stuck in episode {listed}"
        return Finding(part, Verdict.WARN, detail, _stuck_remedy(joint.joint))
    if used < _STANDS and others_moving:
        detail += f". {joint.joint} never moves, others do"
        remedy = "Is it stuck, or does the task not need it?"
        return Finding(part, Verdict.WARN, detail, remedy)
    return Finding(part, Verdict.OK, detail)


def _stuck_remedy(joint: str) -> str:
    return (
        f"Turn {joint} by hand with torque off; look at its horn, its screws and its servo, then "
        "`armada calibrate`. Don't train on these episodes"
    )


def _span(values: NDArray[np.float64]) -> str:
    return f"{values.min():.1f}..{values.max():.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.01 else f"{share * 100:.1f} %"
