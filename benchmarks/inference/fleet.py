"""Robots without arms: loops that ask a policy server as their contender's own client does.

Each asks again as soon as its question has ended, in a chunk or without one. Every observation has
a number that no other robot uses, so a chunk tells whose it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.pictures import CAMERAS
from robots.emulator import joints

JOINTS = tuple(f"{name}.pos" for name in joints.NAMES)
_APART = 1_000_000
"""Between the numbers of one robot and the next."""

_FIRST_CHUNK_S = 120.0
_PICTURES = 8

Pictures = Mapping[str, NDArray[np.uint8]]
Loop = Callable[[Event, Callable[[], None]], None]
"""Asks until the event; calls the function for each robot that the server has let in."""


@dataclass
class Robot:
    """What one robot saw; moments are ``time.monotonic``, s.

    Args:
        index: Which.
        asked: When observations were sent.
        chunks: (when, seconds from the observation) of those that came back to it.
        strange: When a chunk came that answers another robot's observation.
        failed: When a question ended without a chunk.
    """

    index: int
    asked: list[float] = field(default_factory=list)
    chunks: list[tuple[float, float]] = field(default_factory=list)
    strange: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def number(self, question: int) -> int:
        return self.index * _APART + question

    def ask(self) -> float:
        """An observation is sent; now."""
        self.asked.append(time.monotonic())
        return self.asked[-1]

    def hear(self, number: int, began: float) -> None:
        """A chunk came, for the observation of this number."""
        now = time.monotonic()
        if number // _APART == self.index:
            self.chunks.append((now, now - began))
        else:
            self.strange.append(now)

    def fail(self) -> None:
        self.failed.append(time.monotonic())


@dataclass
class Fleet:
    """Robots, and the threads that they live in.

    Args:
        robots: What they saw.
        loops: One a thread.
    """

    robots: list[Robot]
    loops: list[Loop]

    def run(self, seconds: float, *, start_s: float) -> tuple[float, float]:
        """Let all of them in, and let them ask for so long; when that began and ended.

        Raises:
            TimeoutError: they don't get in.
        """
        over, inside = Event(), Event()
        there: list[float] = []

        def ready() -> None:
            there.append(time.monotonic())
            if len(there) == len(self.robots):
                inside.set()

        threads = [Thread(target=loop, args=(over, ready), daemon=True) for loop in self.loops]
        for thread in threads:
            thread.start()
        if not inside.wait(start_s):
            raise TimeoutError(f"{len(there)} of {len(self.robots)} robots are in")
        # The first pass allocates: whoever has not warmed up does it here. LeRobot's server, asked
        # by several robots at true size, may never answer any of them.
        warm = time.monotonic() + _FIRST_CHUNK_S
        while not any(r.chunks or r.strange for r in self.robots) and time.monotonic() < warm:
            time.sleep(0.05)
        begin = time.monotonic()
        time.sleep(seconds)
        end = time.monotonic()
        over.set()
        for thread in threads:
            thread.join(start_s)
        return begin, end


def read_pictures(folder: Path) -> list[Pictures]:
    """Some moments of what the cameras show, RGB."""
    moments = []
    for i in range(_PICTURES):
        paths = {key: sorted((folder / key).glob("*.jpg"))[i] for key in CAMERAS}
        images = {key: cv2.imread(str(path)) for key, path in paths.items()}
        moments.append({key: cv2.cvtColor(i, cv2.COLOR_BGR2RGB) for key, i in images.items()})
    return moments


def states(seed: int) -> Iterator[NDArray[np.float32]]:
    """(6,) around the middle of the ranges, in the robot's units."""
    low, high = joints.limits()
    middle = np.array([*joints.to_robot_units((low + high) / 2, degrees=True).values()])
    rng = np.random.default_rng(seed)
    while True:
        yield (middle + rng.normal(0, 2, len(middle))).astype(np.float32)
