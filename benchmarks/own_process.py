"""A stand-in for an arm in a process of its own: a child owns the driver and ticks by itself; the
control loop and it see each other's newest words in shared memory.

Just enough to measure what it would cost and bring: no events, no commands, no restarts.
"""

from __future__ import annotations

import atexit
import multiprocessing
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Arm
from agent.control.build import make_robot
from agent.control.ticker import Ticker
from benchmarks.rig import Power
from robots.arm.ranges import JointRange

_FIELDS = 32
_OBSERVATION, _GOAL = 0, 10
_RATE, _LATE, _TICKS, _LAG = 20, 21, 22, 23
"""Where things are: number, time and six joints; number, six goals and the time of what they
answer; Hz; ticks late and in all; the sum of the times from observation to goal, s."""


class ArmProcess:
    """The control loop's end.

    Args:
        power: The arm.
    """

    def __init__(self, power: Power) -> None:
        self._memory = SharedMemory(create=True, size=_FIELDS * 8)
        self._words: NDArray[np.float64] = np.ndarray((_FIELDS,), np.float64, self._memory.buf)
        self._words[:] = 0.0
        self._words[_RATE] = 30.0
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(self._memory.name, power.follower(), there), daemon=True
        )
        self._process.start()
        about: tuple[tuple[str, ...], dict[str, JointRange]] = here.recv()
        self.names, self.ranges = about
        self._sent = self._first = 0
        atexit.register(self._end)

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._memory.unlink()

    def set_rate(self, fps: float) -> None:
        """Tick so often from now on; what was counted is forgotten."""
        self._words[_RATE] = fps
        time.sleep(0.2)
        self._words[[_LATE, _TICKS, _LAG]] = 0.0
        self._first = self._sent

    def observation(self) -> tuple[int, float, NDArray[np.float32]]:
        """The newest: number, monotonic s, (6,) joints."""
        while True:
            number = self._words[_OBSERVATION]
            taken = float(self._words[_OBSERVATION + 1])
            state = self._words[_OBSERVATION + 2 : _OBSERVATION + 8].astype(np.float32)
            if number == self._words[_OBSERVATION]:
                return int(number), taken, state

    def send(self, goal: NDArray[np.float32], taken_s: float) -> None:
        """(6,) the next goal, and when what it answers was seen. A goal of two halves can't do
        harm: each joint's is whole."""
        self._sent += 1
        self._words[_GOAL + 7] = taken_s
        self._words[_GOAL + 1 : _GOAL + 7] = goal
        self._words[_GOAL] = self._sent

    @property
    def ticks(self) -> tuple[int, int]:
        """The arm process's own: late, and all."""
        return int(self._words[_LATE]), int(self._words[_TICKS])

    @property
    def lag_s(self) -> float:
        """From an observation to its goal's being sent, mean."""
        return float(self._words[_LAG]) / max(1, self._sent - self._first)


def _serve(name: str, config: Any, there: Any) -> None:
    memory = SharedMemory(name=name)
    words: NDArray[np.float64] = np.ndarray((_FIELDS,), np.float64, memory.buf)
    robot, layout = make_robot(config)
    arm = Arm(robot, layout)
    arm.connect()
    there.send((layout.action_names, arm.ranges()))
    rate, ticker, done, before = 0.0, Ticker(30), 0, 0.0
    while True:
        if words[_RATE] != rate:
            rate = float(words[_RATE])
            ticker, before = Ticker(rate), 0.0
        ticker.wait()
        now = time.perf_counter()
        if before:
            periods = round((now - before) * rate)
            words[_LATE] += max(0, periods - 1)
            words[_TICKS] += periods
        before = now
        observation = arm.observe()
        if observation is None:
            continue
        words[_OBSERVATION + 1] = time.monotonic()
        words[_OBSERVATION + 2 : _OBSERVATION + 8] = observation.state
        words[_OBSERVATION] += 1
        if words[_GOAL] != done:
            done = int(words[_GOAL])
            arm.act(words[_GOAL + 1 : _GOAL + 7].astype(np.float32))
            words[_LAG] += time.monotonic() - words[_GOAL + 7]
        arm.poll()
