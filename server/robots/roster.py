"""The robots of a fleet, as each last said of itself.

Kept on disk, so that a server that was restarted knows also of those that are off.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.link.messages import Status
from agent.policy.atomic import write_text

OFFLINE = "offline"
_MOST_ROBOTS = 10_000
"""Whoever may write to the broker may invent robots; memory and disk are not theirs."""

_STATE_MAX = 40
_MOST = 2**31 - 1
"""Episodes or releases; more is a lie, and no field of an answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RobotState:
    """One robot.

    Args:
        name: Its name.
        state: ``offline``, ``waiting``, or what its control loop says (running, stopped …).
        heard: When it was last heard itself, seconds since the epoch.
        episodes, new_episodes: How many it has, and how many of them it hasn't trained on.
        release: That it runs; 0: none of the fleet's.
    """

    name: str
    state: str
    heard: float
    episodes: int = 0
    new_episodes: int = 0
    release: int = 0


class Roster:
    """Takes statuses from one thread, answers others.

    Args:
        path: A JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._robots = _read(path)
        self._saved = dict(self._robots)

    def note(self, status: Status, now: float) -> None:
        """A robot, or the broker in its name, said how it stands."""
        with self._lock:
            before = self._robots.get(status.robot)
            if before is None and len(self._robots) >= _MOST_ROBOTS:
                return
            state = status.state[:_STATE_MAX]
            if state == OFFLINE and before is not None:
                # The broker's words, from when the robot connected: they know of nothing since.
                self._robots[status.robot] = replace(before, state=state)
                return
            self._robots[status.robot] = RobotState(
                name=status.robot,
                state=state,
                heard=0.0 if state == OFFLINE else now,
                episodes=_count(status.episodes),
                new_episodes=_count(status.new_episodes),
                release=_count(status.release),
            )

    def all(self) -> list[RobotState]:
        """By name."""
        with self._lock:
            return [self._robots[name] for name in sorted(self._robots)]

    def save(self) -> None:
        """Write what changed; call it every second or so. When it was heard alone is no change."""
        with self._lock:
            robots = dict(self._robots)
        if {n: replace(r, heard=0) for n, r in robots.items()} == {
            n: replace(r, heard=0) for n, r in self._saved.items()
        }:
            return
        # A full disk costs what is known after a restart, nothing else.
        with contextlib.suppress(OSError):
            write_text(self._path, json.dumps([asdict(r) for r in robots.values()]))
            self._saved = robots


def _count(said: int) -> int:
    return min(max(0, said), _MOST)


def _read(path: Path) -> dict[str, RobotState]:
    """Nobody is online as long as nobody said so."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        entries = [_off(RobotState(**of_one)) for of_one in values]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        log.warning("what was known of the robots can't be read: %s", error)
        return {}
    return {robot.name: robot for robot in entries}


def _off(robot: RobotState) -> RobotState:
    return replace(
        robot,
        state=OFFLINE,
        episodes=_count(robot.episodes),
        new_episodes=_count(robot.new_episodes),
        release=_count(robot.release),
    )
