"""The same fault on LeRobot's own loop: what ``lerobot-teleoperate`` does, in a process of its own,
so that a hang or a crash is seen from outside.

Observe, take the scripted expert's action, send it, 30 times a second; whatever is raised ends the
loop, and ``disconnect`` is called, as in ``lerobot_teleoperate.py``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from benchmarks.faults.around import Around, pulls
from benchmarks.faults.fault import Fault
from benchmarks.rig import Power
from robots.sim.config import ScriptedReachConfig
from robots.sim.scripted import ScriptedReach

PERIOD_S = 1 / 30
LOOK_S = 1.2
"""A loop that makes no tick for so long hangs: three reads of three tries take half of it."""

_START_S = 60.0
_END_S = 5.0
_METHODS = multiprocessing.get_context("forkserver")
_METHODS.set_forkserver_preload(["benchmarks.faults.run_lerobot"])


@dataclass(frozen=True)
class Theirs:
    """What happened.

    Args:
        fault: The row.
        does: In words: goes on, hangs, raises …
        torque: Servos 1–6 when the fault was about to end.
        again: Whether it drives after the fault, without anybody's doing.
        torque_after: Servos 1–6 then.
        end: What became of ``disconnect``, after Ctrl-C if it had not ended.
        torque_end: Servos 1–6 then.
    """

    fault: Fault
    does: str
    torque: str
    again: bool
    torque_after: str
    end: str
    torque_end: str


def drive(config: SO101FollowerConfig, robot_id: str, ticks: Any, say: Connection) -> None:
    """The loop; the child's main."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    robot = SO101Follower(config)
    teleop = ScriptedReach(ScriptedReachConfig(id=robot_id, robot_id=robot_id, reach_s=0.8))
    robot.connect(calibrate=False)
    teleop.connect()
    try:
        while True:
            began = time.perf_counter()
            robot.get_observation()
            robot.send_action(teleop.get_action())
            ticks.value += 1
            time.sleep(max(0.0, PERIOD_S - (time.perf_counter() - began)))
    except KeyboardInterrupt:
        say.send(("loop", "Ctrl-C"))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result
        say.send(("loop", f"raises {_named(error)}"))
    finally:
        teleop.disconnect()
        try:
            robot.disconnect()
        except BaseException as error:  # noqa: BLE001
            say.send(("end", f"disconnect raises {_named(error)}"))
        else:
            say.send(("end", "disconnects"))


class TheirRun:
    """Runs rows, each in a fresh process.

    Args:
        power: The arm.
        folder: Where a stop file is made, for nobody.
    """

    def __init__(self, power: Power, folder: Path) -> None:
        self._power = power
        self._around = Around(
            power,
            # The only order that it knows.
            order=lambda name: self._signal(signal.SIGINT),
            signal=self._signal,
            stop_file=folder / "stop",
        )
        self._heard: dict[str, str] = {}

    def run(self, fault: Fault) -> Theirs:
        """One row."""
        self._start()
        try:
            self._around.do(*fault.begin)
            self._wait(max(fault.lasts_s, fault.over_after_s, 0.5))
            does = self._does(self._moves())
            torque = pulls(self._power)
            self._around.do(*fault.end)
            self._wait(1.0)
            again = self._moves()
            torque_after = pulls(self._power)
            end = self._end(signal.SIGINT)
            return Theirs(
                fault=fault,
                does=does,
                torque=torque,
                again=again,
                torque_after=torque_after,
                end=end,
                torque_end=pulls(self._power),
            )
        finally:
            self._stop()

    def terminated(self) -> str:
        """Torque of servos 1–6 after SIGTERM to a loop that is well."""
        self._start()
        try:
            self._end(signal.SIGTERM)
            return pulls(self._power)
        finally:
            self._stop()

    # ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._heard = {}
        self._ticks = _METHODS.Value("l", 0, lock=False)
        self._ear, mouth = _METHODS.Pipe(duplex=False)
        config = self._power.follower(cameras={"front": self._power.camera()})
        self._process = _METHODS.Process(
            target=drive, args=(config, self._power.robot_id, self._ticks, mouth), daemon=True
        )
        self._process.start()
        mouth.close()
        until = time.monotonic() + _START_S
        while self._ticks.value < 20:
            if not self._process.is_alive() or time.monotonic() > until:
                raise RuntimeError(f"LeRobot's loop doesn't start: {self._heard}")
            time.sleep(0.02)

    def _stop(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._ear.close()
        self._around.mend()

    def _signal(self, number: int) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        with suppress(EOFError):
            while self._ear.poll():
                what, words = self._ear.recv()
                self._heard[what] = words

    def _moves(self) -> bool:
        before = self._ticks.value
        self._wait(LOOK_S)
        return bool(self._ticks.value > before)

    def _does(self, moves: bool) -> str:
        if said := self._heard.get("loop"):
            return said
        if not self._process.is_alive():
            code = self._process.exitcode or 0
            return f"dies of {signal.Signals(-code).name}" if code < 0 else f"ends with {code}"
        return "goes on" if moves else "hangs"

    def _end(self, number: int) -> str:
        self._signal(number)
        self._process.join(_END_S)
        self._wait(0.1)
        if self._process.is_alive():
            return "deaf to the signal"
        return self._heard.get("end", "ends without a disconnect")


def _named(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__name__}".removeprefix("builtins.")
