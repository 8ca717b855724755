"""A fault on the real control process: whether everything that the matrix promises happens."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.control.limits import GuardConfig
from benchmarks.faults.around import Around, holds, pulls
from benchmarks.faults.fault import ALL, Fault
from benchmarks.rig import Control, Power
from robots.emulator import joints
from robots.emulator.world import HIT_TICKS

WAIT_S = 20.0
"""For anything that is promised; on a busy machine too."""

DRIVES = "teleop"
"""The source of a row that says nothing else."""

_RETURNS = ("arm_back", "mode", "cleared", "camera_back")


_SETTLE_S = 3.0


class BrokenPromise(AssertionError):
    """The matrix says something else."""


@dataclass(frozen=True)
class Ours:
    """What happened.

    Args:
        fault: The row.
        recovered_s: From the fault's end (or the operator's ``clear``) to driving, s; 0 when it
            never stopped.
        late_ticks: That began more than half a period late, meanwhile.
        ticks: Of the whole row.
        events: Kinds, in order.
    """

    fault: Fault
    recovered_s: float
    late_ticks: int
    ticks: int
    events: tuple[str, ...]


def start(power: Power, state_dir: Path) -> Control:
    """The control process of all rows, to be entered."""
    # Each row that yields counts towards a latched stop for a minute: twice the default, so that
    # rows one after the other don't add up to it.
    guard = GuardConfig(park_s=0.5, max_yields=6, stop_file=str(state_dir / "stop"))
    return Control(power, state_dir, guard=guard)


class OursRun:
    """Runs rows on one control process.

    Args:
        power: The arm.
        control: As ``start`` makes it, entered.
        lasts_at_most_s: Ends faults sooner: a test needs not wait as long as a measurement.
    """

    def __init__(
        self, power: Power, control: Control, *, lasts_at_most_s: float = math.inf
    ) -> None:
        self._power = power
        self._control = control
        self._around = Around(
            power,
            order=control.order,
            signal=lambda number: os.kill(control.pid, number),
            stop_file=Path(control.config.guard.stop_file),
            control_socket=control.config.state.control_socket,
        )
        self._torque: set[str] = set()
        self._states: set[str] = set()
        self._began = 0.0
        self._lasts_at_most_s = lasts_at_most_s

    def run(self, fault: Fault) -> Ours:
        """One row, from running to running.

        Raises:
            BrokenPromise: it did not go as the matrix says.
            TimeoutError: it did not come to where the matrix says.
        """
        control = self._control
        self._drives_again(ALL, 0)
        self._let_drive(fault.source)
        before, began_at = dict(control.status), len(control.events)
        self._power.do("account", clear=True)
        self._torque, self._states = set(), set()
        try:
            began = self._began = time.time()
            self._around.do(*fault.begin)
            self._meanwhile(fault, began, began_at)
            driven = control.status["driven_ticks"] if fault.source != "hold" else -1
            ended_at = len(control.events)
            ended = time.time() if fault.end else began + fault.over_after_s
            self._around.do(*fault.end)
            if fault.clear:
                ended = self._clear(fault)
            since = ended_at if fault.end or fault.clear else began_at
            self._watch(
                fault,
                lambda: self._heard(fault.after, since) or self._was_back(fault, began_at),
                f"{fault.after}",
            )
            self._drives_again(fault.torque_after, driven, fault)
        finally:
            self._around.mend()
            if control.alive and control.status.get("stop_reason"):
                control.order("clear")
            if control.alive and fault.source != DRIVES:
                self._let_drive(DRIVES)
        self._kept_its_range()
        kinds = tuple(e["event"] for e in control.events[began_at:])
        returns = [e["time"] for e in control.events[began_at:] if e["event"] in _RETURNS]
        return Ours(
            fault=fault,
            recovered_s=max(0.0, max(returns, default=ended) - ended),
            late_ticks=control.status["late_ticks"] - before["late_ticks"],
            ticks=control.status["ticks"] - before["ticks"],
            events=kinds,
        )

    def _let_drive(self, source: str) -> None:
        if self._control.status["source"] != source:
            self._control.order("source", name=source)
            self._watch(None, lambda: self._control.status["source"] == source, source)

    # While it lasts ------------------------------------------------------------------------

    def _meanwhile(self, fault: Fault, began: float, since: int) -> None:
        self._watch(fault, lambda: self._heard(fault.events, since), f"events {fault.events}")
        self._watch(fault, lambda: fault.torque in self._torque, f"torque {fault.torque}")
        wanted = {*fault.state.split("|")}
        self._watch(
            fault,
            # Telemetry comes twice a second, and a state may end between two.
            lambda: self._states & wanted or self._was_back(fault, since),
            f"state {fault.state}",
        )
        if fault.does == "holds" and (fault.end or fault.clear):
            self._keeps_its_goals(fault)
        elif fault.does == "rests":
            self._rests_at_the_start(fault)
        elif fault.does == "goes on":
            driven = self._control.status["driven_ticks"]
            self._watch(fault, lambda: self._control.status["driven_ticks"] > driven, "driving on")
        lasts_s = min(fault.lasts_s, self._lasts_at_most_s)
        self._watch(fault, lambda: time.time() >= began + lasts_s, "its end", lasts_s)

    def _keeps_its_goals(self, fault: Fault) -> None:
        def goals() -> list[float]:
            goal: list[float] = self._power.do("account")["goal"]
            return [g for g, on in zip(goal, fault.torque, strict=True) if on == "1"]

        # A goal that was far ahead of its joint first comes back to it: nothing is pressed on.
        settled_by = time.time() + _SETTLE_S
        while True:
            before, until = goals(), time.time() + 0.4
            self._watch(fault, lambda u=until: time.time() >= u, "a moment")
            if goals() == before:
                return
            if time.time() > settled_by:
                raise BrokenPromise(f"{fault.name}: it should hold, but its goals changed")

    def _rests_at_the_start(self, fault: Fault) -> None:
        low, high = joints.limits()
        away = self._power.do("account")["position"] - (low + high) / 2
        if (np.abs(away) > HIT_TICKS).any():
            raise BrokenPromise(f"{fault.name}: let go {away} ticks from the pose at start")

    # Afterwards ----------------------------------------------------------------------------

    def _clear(self, fault: Fault) -> float:
        """The operator's ``clear``, after it was seen that nothing else ends the stop."""
        now = time.time()
        self._watch(fault, lambda: self._status_since(now + 0.3), "a status")
        if self._control.status["state"] != "stopped":
            raise BrokenPromise(f"{fault.name}: a latched stop ended by itself")
        now = time.time()
        self._control.order("clear")
        return now

    def _drives_again(self, torque: str, driven: int, fault: Fault | None = None) -> None:
        """It is well, and has driven more ticks than ``driven``."""
        now, control = time.time(), self._control
        if fault is None and control.status["state"] == "running":
            now = 0.0

        def drives() -> bool:
            told = control.status
            running = told["state"] == "running" and told["driven_ticks"] > driven
            return running and self._status_since(now)

        self._watch(fault, drives, "running and driving")
        self._watch(fault, lambda: pulls(self._power) == torque, f"torque {torque}")

    def _kept_its_range(self) -> None:
        account, (low, high) = self._power.do("account"), joints.limits()
        for i, name in enumerate(joints.NAMES):
            lowest, highest = account["goal_lowest"][i], account["goal_highest"][i]
            if lowest is not None and not low[i] <= lowest <= highest <= high[i]:
                raise BrokenPromise(f"{name} was sent to {lowest}..{highest} ticks")

    # ---------------------------------------------------------------------------------------

    def _watch(
        self, fault: Fault | None, condition: object, what: str, wait_s: float = 0.0
    ) -> None:
        """Wait for a condition; the servos that should hold must do so all the while."""
        assert callable(condition)

        def seen() -> bool:
            now = pulls(self._power)
            self._torque.add(now)
            if self._status_since(self._began):
                self._states.add(self._control.status["state"])
            if fault is not None and not holds(now, fault.torque):
                raise BrokenPromise(f"{fault.name}: torque was {now}, not {fault.torque}")
            return bool(condition())

        self._control.until(seen, what, WAIT_S + wait_s)

    def _heard(self, kinds: tuple[str, ...], since: int) -> bool:
        heard = {e["event"] for e in self._control.events[since:]}
        return all(heard & {*kind.split("|")} for kind in kinds)

    def _was_back(self, fault: Fault, since: int) -> bool:
        """Whether the arm was there again before the fault was over: who takes every other answer
        takes none for a while, by chance."""
        told = [e["event"] for e in self._control.events[since:] if e["event"].startswith("arm_")]
        return fault.after == ("arm_back",) and told[-1:] == ["arm_back"]

    def _status_since(self, moment: float) -> bool:
        return bool(self._control.status["time"] > moment)
