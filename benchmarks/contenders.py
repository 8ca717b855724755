"""What ``ticks.py`` compares: one contender a process, each with an emulated arm of its own.

``python -m benchmarks.contenders NAME --seconds 4`` prints a JSON line per condition. All are
measured in the same way: when each tick began, and how long it took from there to the end of what
the loop does in a tick. The first half a second of each condition is left out.

The emulator stands for hardware, which no load slows: it runs at high priority.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lerobot.processor import make_default_processors
from lerobot.robots import make_robot_from_config
from numpy.typing import NDArray

from agent.control.arm import Arm
from agent.control.build import build, make_robot
from agent.control.guard import Guard
from agent.control.limits import GuardConfig
from agent.control.ticker import Ticker
from benchmarks.own_process import ArmProcess
from benchmarks.priority import nice
from benchmarks.rig import Control, Power
from robots.emulator import joints

RATES = (30, 60)
WARM_UP_S = 0.5
_BURN = "import os\nos.setpriority(os.PRIO_PROCESS, 0, 0)\nwhile True: pass"

Ticks = list[tuple[float, float]]
"""When each began, and how long its work took, s."""


@dataclasses.dataclass
class Measured:
    """What a run gave.

    Args:
        ticks: All.
        lag_s: From an observation to its goal's being sent, mean; 0: not measured.
        arm: (late, all) ticks of an arm that ticks by itself.
    """

    ticks: Ticks
    lag_s: float = 0.0
    arm: tuple[int, int] = (0, 0)


Run = Callable[[float, float], Measured]
"""Takes Hz and seconds."""


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Every core has something else to do, at normal priority."""
    burners = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(os.cpu_count() or 1)]
    time.sleep(0.3)
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextlib.contextmanager
def python_threads(work: Callable[[], object], number: int) -> Iterator[None]:
    """Threads beside the loop that do this again and again."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            work()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def count() -> None:
    """Holds the interpreter: the worst that can be beside the loop."""
    sum(i * i for i in range(2000))


def cameras() -> contextlib.AbstractContextManager[None]:
    """Two USB cameras as OpenCV reads them: 640×480, JPEG, 30 Hz; it decodes without the
    interpreter."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    _, jpeg = cv2.imencode(".jpg", cv2.resize(noise, (640, 480)))

    def read() -> None:
        began = time.monotonic()
        cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        time.sleep(max(0.0, began + 1 / 30 - time.monotonic()))

    return python_threads(read, 2)


def goal(now_s: float) -> dict[str, float]:
    """Where everybody sends the arm: a slow wave around the middle."""
    low, high = joints.limits()
    wave = (low + high) / 2 + 0.2 * (high - low) * math.sin(now_s)
    return joints.to_robot_units(wave, degrees=True)


def bare(power: Power) -> Run:
    """LeRobot's driver, called at fixed times."""
    robot = make_robot_from_config(power.follower())
    robot.connect(calibrate=False)

    def run(fps: float, seconds: float) -> Measured:
        ticks: Ticks = []
        ticker, until = Ticker(fps), time.monotonic() + seconds
        while time.monotonic() < until:
            ticker.wait()
            began = time.perf_counter()
            robot.get_observation()
            robot.send_action(goal(began))
            ticks.append((began, time.perf_counter() - began))
        return Measured(ticks)

    return run


def lerobot(power: Power) -> Run:
    """LeRobot's own loop: ``teleop_loop`` of ``lerobot-teleoperate``, as it is."""
    from lerobot.scripts.lerobot_teleoperate import teleop_loop

    robot = make_robot_from_config(power.follower())
    robot.connect(calibrate=False)
    observe, act = robot.get_observation, robot.send_action
    ticks: Ticks = []
    began = 0.0

    def observed() -> Any:
        nonlocal began
        began = time.perf_counter()
        return observe()

    def acted(action: Any) -> Any:
        sent = act(action)
        ticks.append((began, time.perf_counter() - began))
        return sent

    class Leader:
        def get_action(self) -> dict[str, float]:
            return goal(time.perf_counter())

    robot.get_observation, robot.send_action = observed, acted

    def run(fps: float, seconds: float) -> Measured:
        ticks.clear()
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            teleop_loop(Leader(), robot, int(fps), *make_default_processors(), duration=seconds)
        return Measured(list(ticks))

    return run


def armada(power: Power) -> Run:
    """Armada's control loop, complete: supervision, polling, guard, driver, peers, reports."""

    def run(fps: float, seconds: float) -> Measured:
        begins: list[float] = []
        works: list[float] = []
        with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
            control = Control(power, Path(folder), fps=int(fps), camera=False)
            control.config.duration = seconds
            control.config.return_to_initial_position = False
            loop, peers = build(control.config)
            ticked, worked = loop.stats.tick, loop.stats.work

            def tick(now: Any) -> None:
                begins.append(time.perf_counter())
                ticked(now)

            def work(spent_s: float) -> None:
                works.append(spent_s)
                worked(spent_s)

            setattr(loop.stats, "tick", tick)  # noqa: B010
            setattr(loop.stats, "work", work)  # noqa: B010
            loop.run(peers)
            peers.close(0.0)
        return Measured(list(zip(begins, works, strict=False)))

    return run


def inside(power: Power) -> Run:
    """The supervised arm and the guard in a minimal loop."""
    robot, layout = make_robot(power.follower())
    arm = Arm(robot, layout)
    arm.connect()

    def run(fps: float, seconds: float) -> Measured:
        guard = Guard(layout.action_names, arm.ranges(), 1 / fps, GuardConfig())
        ticks: Ticks = []
        lags: list[float] = []
        ticker, until = Ticker(fps), time.monotonic() + seconds
        last: NDArray[np.float32] | None = None
        while time.monotonic() < until:
            ticker.wait()
            began = time.perf_counter()
            observation = arm.observe()
            taken_s = time.monotonic()
            if observation is not None:
                last = observation.state if last is None else last
                wanted = np.array([*goal(began).values()], np.float32)
                last = guard.check(wanted, last, observation.state).action
                assert last is not None
                arm.act(last)
                lags.append(time.monotonic() - taken_s)
                arm.poll()
            ticks.append((began, time.perf_counter() - began))
        return Measured(ticks, float(np.mean(lags)) if lags else 0.0)

    return run


def quick(power: Power) -> Run:
    """The same; threads take turns every 0.1 ms instead of every 5."""
    sys.setswitchinterval(1e-4)
    return inside(power)


def outside(power: Power) -> Run:
    """The same with the arm in a process of its own; it is the control loop that is measured."""
    arm = ArmProcess(power)

    def run(fps: float, seconds: float) -> Measured:
        arm.set_rate(fps)
        guard = Guard(arm.names, arm.ranges, 1 / fps, GuardConfig())
        ticks: Ticks = []
        ticker, until = Ticker(fps), time.monotonic() + seconds
        last: NDArray[np.float32] | None = None
        seen = 0
        while time.monotonic() < until:
            ticker.wait()
            began = time.perf_counter()
            number, taken_s, state = arm.observation()
            if number != seen:
                seen = number
                last = state if last is None else last
                wanted = np.array([*goal(began).values()], np.float32)
                last = guard.check(wanted, last, state).action
                assert last is not None
                arm.send(last, taken_s)
            ticks.append((began, time.perf_counter() - began))
        return Measured(ticks, arm.lag_s, arm.ticks)

    return run


CONTENDERS: dict[str, tuple[Callable[[Power], Run], int]] = {
    "bare driver": (bare, 0),
    "LeRobot's loop": (lerobot, 0),
    "Armada": (armada, 0),
    "Armada, nice −5": (armada, -5),
    "in the control process": (inside, -5),
    "there, quick turns": (quick, -5),
    "in a process of its own": (outside, -5),
}
IN_LOOP = ("bare driver", "LeRobot's loop", "Armada", "Armada, nice −5")


@dataclasses.dataclass
class Dead:
    """A servo that is silent meanwhile."""

    power: Power

    def __enter__(self) -> None:
        self.power.do("dead", id=3)

    def __exit__(self, *_: object) -> None:
        self.power.do("mend")
        time.sleep(1.0)


def conditions(name: str, power: Power) -> dict[str, list[Any]]:
    """What is going on besides, by name."""
    both: dict[str, list[Any]] = {"idle": [], "both cores busy": [busy()]}
    if name in IN_LOOP:
        return both
    return both | {
        "two cameras": [cameras()],
        "a Python thread": [python_threads(count, 1)],
        "a servo is dead": [Dead(power)],
    }


def main() -> int:
    """Run one contender through its conditions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    make, priority = CONTENDERS[args.name]
    power = Power(f"ticks-{os.getpid()}", goal_period_s=1.0)
    with nice(-15):
        power.__enter__()
    with contextlib.ExitStack() as stack:
        stack.push(power)
        stack.enter_context(nice(priority))
        run = make(power)
        for fps in RATES:
            for condition in conditions(args.name, power):
                with contextlib.ExitStack() as during:
                    for what in conditions(args.name, power)[condition]:
                        during.enter_context(what)
                    measured = run(fps, args.seconds + WARM_UP_S)
                begin = measured.ticks[0][0] + WARM_UP_S
                measured.ticks = [tick for tick in measured.ticks if tick[0] >= begin]
                about = {"fps": fps, "condition": condition} | dataclasses.asdict(measured)
                print(json.dumps(about), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
