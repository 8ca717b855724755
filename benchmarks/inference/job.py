"""What a contender is told to do, and what it tells of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FPS = 30
CHUNK = 50
"""Actions: SmolVLA's default, also for the tiny one."""

TASK = "fold the cloth"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one contender.

    Args:
        contender: Its name.
        policy: Folder of the policy.
        pictures: Folder of what the cameras show.
        seconds: That are measured.
        settle_s: From the first chunk until then.
        always: Ask for the next chunk as soon as one is there, instead of by the contender's own
            rule.
        server: ``host:port`` of the policy server, for those who have one.
        proxy: Control socket of the proxy in between; empty: there is none.
        script: (seconds from the beginning of what is measured, command of the proxy).
        options: Of ``--inference…``, for Armada; by default its defaults.
    """

    contender: str
    policy: str
    pictures: str
    seconds: float
    settle_s: float = 2.0
    always: bool = False
    server: str = ""
    proxy: str = ""
    script: Sequence[tuple[float, dict[str, Any]]] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Log:
    """What happened, told by hooks around the contender's own functions; all times are
    ``time.monotonic``, s.

    Args:
        ticks: When each pass of the control loop began.
        starved: When a pass found no planned action.
        observed: When an observation was sent to the policy.
        sent: Actions: when, number of the chunk, and the action in the robot's units.
        chunks: When chunks arrived.
        stale: Actions that their chunk doesn't plan for that tick, or that were planned before a
            reset; only where a contender can tell.
        proxy: (when, what the proxy answered) of each command.
        begin, end: Of what is measured.
        died: Why the contender's loop ended by itself before the end; empty: it did not.
    """

    ticks: list[float] = field(default_factory=list)
    starved: list[float] = field(default_factory=list)
    observed: list[float] = field(default_factory=list)
    sent: list[tuple[float, int, list[float]]] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    stale: int = 0
    proxy: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    begin: float = 0.0
    end: float = 0.0
    died: str = ""

    def __post_init__(self) -> None:
        self.first = threading.Event()

    def tick(self) -> None:
        self.ticks.append(time.monotonic())

    def starve(self) -> None:
        self.starved.append(time.monotonic())

    def observe(self) -> None:
        self.observed.append(time.monotonic())

    def chunk(self) -> None:
        self.chunks.append(time.monotonic())
        # Not with the first action: chunks may all come too late to be acted on.
        self.first.set()

    def act(self, action: Sequence[float], chunk: int) -> None:
        """An action was sent."""
        self.sent.append((time.monotonic(), chunk, [float(a) for a in action]))
