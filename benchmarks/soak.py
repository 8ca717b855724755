"""A soak run: randomly timed faults on an emulated arm that the real control process drives.

``python -m benchmarks.soak [--faults 1000] [--seed 0] [--plant first_order]``

Faults come every ``GAP_S`` on average and last up to a second, so they overlap; each ends by
itself. Nobody mends anything, except for an operator who clears the stops that repeated overloads
latch, and who waits after every ``PAUSE_EVERY`` faults until the arm runs again. The seed fixes
what happens to whom and when; what is under way in control at that moment is not repeated.

The guard is set tighter than its defaults, since those are beyond what the emulated servos can do:
a speed limit that nothing could break would prove nothing. See ``judge.py`` for what counts.
The speed bound is derived for the first-order plant. MuJoCo's joints have inertia: behind the same
goals they overshoot by some ticks and are about a tenth faster, which is reported as violations.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.limits import GuardConfig, JointLimits
from benchmarks.judge import JITTER_S, Judge, bounds
from benchmarks.rig import Control, Power
from robots.emulator import joints
from robots.emulator.trouble import DAMAGE

FPS = 30
GAP_S = 0.3
PAUSE_EVERY = 50
LOOK_EVERY_S = 0.1
SILENT_S = 2.0
"""Telemetry comes every half a second; a tick on a dying bus takes as long as its time-outs."""

BACK_S = 20.0
"""Within which it runs again when nothing is broken any more: cooling down, the way back to the
pose at start, reconnecting with back-off."""

AFTER_S = 1.0
"""For so long after a fault's end its traces may still show: a joint that was limp gets its torque
back, one that was held springs."""

GUARD = GuardConfig(
    limits=JointLimits(speed_percent=60.0, margin_percent=25.0),
    joints={
        "gripper": JointLimits(
            speed_percent=120.0, step_percent=24.0, lead_percent=80.0, margin_percent=25.0
        )
    },
)
"""Speeds that the expert wants to go beyond, and a range in which its goals don't all lie."""

KINDS = (
    "drop",
    "delay",
    "corrupt",
    "babble",
    "dead",
    "unplug",
    "brownout",
    "reset",
    "block",
    "heat",
    "voltage",
    "blind",
    "glitch",
    "push",
    "torque off",
    "camera",
)
_LOOSE = ("dead", "brownout", "reset", "push", "torque off", "heat")
_TAUT = ("block", "blind", "glitch")


@dataclass
class Report:
    """What came of it."""

    judge: Judge
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    clears: int = 0
    pauses: list[float] = field(default_factory=list)
    longest_silence_s: float = 0.0
    seconds: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.judge.count == 0

    def __str__(self) -> str:
        def counted(what: Counter[str]) -> str:
            return ", ".join(f"{name} {n}" for name, n in sorted(what.items()))

        s = self.status
        lines = [
            f"{sum(self.faults.values())} faults: {counted(self.faults)}",
            f"{sum(self.events.values())} events: {counted(self.events)}",
            "",
            self.judge.table(),
            "",
            f"{self.seconds:.0f} s; {s['ticks']} ticks, {s['driven_ticks']} of them driven, "
            f"{s['late_ticks']} late ({s['skipped_ticks']} skipped); work {s['work_ms_p50']} ms, "
            f"p99 {s['work_ms_p99']} ms; longest silence {self.longest_silence_s:.2f} s",
            f"guard: {s['guard_trips']}; exchanges: {s['exchanges']}",
            f"{self.clears} latched stops cleared; {self.judge.springs} springs; running again "
            f"{len(self.pauses)} times, after {max(self.pauses, default=0.0):.1f} s at most",
        ]
        lines += [f"VIOLATION {violation}" for violation in self.judge.violations]
        lines.append(f"verdict: {'passed' if self.passed else f'{self.judge.count} violations'}")
        return "\n".join(lines)


class Soak:
    """One run.

    Args:
        power: The arm.
        control: What drives it.
        seed: Of the faults.
        report: Is filled in.
        silent_s: Longer without telemetry is a violation.
    """

    def __init__(
        self, power: Power, control: Control, seed: int, report: Report, silent_s: float
    ) -> None:
        self._silent_s = silent_s
        self._power, self._control, self._report = power, control, report
        self._random = np.random.default_rng([seed, 2])
        self._due: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()
        self._marks: dict[str, NDArray[np.float64]] = {
            "loose": np.full(6, -np.inf),
            "taut": np.full(6, -np.inf),
        }
        self._recent: list[tuple[float, str]] = []
        self._fault_over = self._began = self._heard = self._cleared = time.monotonic()
        self._look_at = 0.0

    def run(self, faults: int) -> None:
        """Inject that many."""
        self._power.do("account", clear=True)
        pid, self._began = self._control.pid, time.monotonic()
        at = self._began
        for number in range(1, faults + 1):
            at = max(at, time.monotonic() - 0.5) + float(self._random.exponential(GAP_S))
            self._until(at)
            self._inject()
            if number % PAUSE_EVERY == 0:
                self._pause()
                at = time.monotonic()
        self._pass(lambda: not self._due and time.monotonic() >= self._fault_over)
        self._power.do("mend")
        self._pause()
        self._report.seconds = time.monotonic() - self._began
        self._report.status = self._control.status
        self._report.events = Counter(event["event"] for event in self._control.events)
        if self._control.pid != pid or self._control.status["pid"] != pid:
            self._report.judge.accuse("control was started anew")

    # Faults --------------------------------------------------------------------------------

    def _inject(self) -> None:
        draw = self._random
        kind = str(draw.choice(KINDS))
        servo = int(draw.integers(1, 7))
        # Drawn whatever the kind: so one kind's parameters don't shift those of the next.
        for_s, a, b = float(draw.uniform(0.02, 1.0)), float(draw.uniform()), float(draw.uniform())
        one: dict[str, Any] = {"id": servo} if b < 0.5 else {}
        self._report.faults[kind] += 1
        # What works by registers that are polled in turn has to last to be seen at all.
        seen_s = 3 * for_s
        over = time.monotonic() + for_s
        match kind:
            case "drop":
                self._power.do("drop", share=0.2 + 0.8 * a, for_s=for_s, **one)
            case "delay":
                self._power.do("delay", ms=2 + 150 * a * a, share=0.5, for_s=for_s, **one)
            case "corrupt":
                how = DAMAGE[int(a * len(DAMAGE))]
                self._power.do("corrupt", how=how, share=0.2 + 0.8 * b, for_s=for_s)
            case "babble":
                self._power.do("babble", for_s=for_s / 2)
            case "dead" | "block" | "blind":
                self._power.do(kind, id=servo, for_s=for_s)
            case "unplug" | "brownout":
                self._power.do(kind, for_s=for_s)
            case "reset":
                self._power.do("reset", id=servo)
            case "torque off":
                self._power.do("set", id=servo, register="Torque_Enable", value=0)
            case "heat":
                over = time.monotonic() + seen_s
                self._power.do("heat", id=servo, celsius=int(60 + 13 * a))
                self._later(over, lambda: self._power.do("heat", id=servo, celsius=31))
            case "voltage":
                over = time.monotonic() + seen_s
                self._power.do("voltage", volts=round(3.0 + 6.5 * a, 1), **one)
                self._later(over, lambda: self._power.do("voltage", volts=7.4))
            case "glitch":
                off = int(3000 * a - 1500)
                self._power.do("glitch", id=servo, ticks=off, count=1 + int(2 * b))
            case "push":
                # A hand can only move what is limp.
                self._power.do("reset", id=servo)
                self._later(time.monotonic() + 0.3 * for_s, lambda: self._push(servo, a))
            case "camera":
                fault = ("stall", "black", "unplug")[int(3 * a)]
                self._power.do("camera", fault=fault, for_s=for_s)
        self._mark(kind, servo, over)
        self._fault_over = max(self._fault_over, over)
        self._recent = [*self._recent[-9:], (time.monotonic(), f"{kind} {servo} {for_s:.2f}")]

    def _push(self, servo: int, a: float) -> None:
        """To anywhere in the calibrated range, often beyond the guard's."""
        low, high = joints.limits()
        to = low[servo - 1] + a * (high - low)[servo - 1]
        torque = self._power.torque()[servo - 1]
        if not torque:
            self._power.do("push", id=servo, to=round(float(to)))
            if self._power.torque()[servo - 1]:
                # It was held in that very moment: it is drawn back, and not by the driver.
                self._mark("block", servo, time.monotonic())
        self._mark("push", servo, time.monotonic())

    def _mark(self, kind: str, servo: int, over: float) -> None:
        which = slice(None) if kind == "brownout" else servo - 1
        for name, kinds in (("loose", _LOOSE), ("taut", _TAUT)):
            if kind in kinds:
                self._marks[name][which] = np.maximum(self._marks[name][which], over)

    def _later(self, when: float, action: Callable[[], Any]) -> None:
        heapq.heappush(self._due, (when, next(self._order), action))

    # Between them --------------------------------------------------------------------------

    def _until(self, when: float) -> None:
        self._pass(lambda: time.monotonic() >= when)

    def _pass(self, until: Callable[[], bool]) -> None:
        """Listen, look, clear, until a condition holds."""
        while not until():
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()
            before = self._control.status
            self._control.poll(0.02)
            now = time.monotonic()
            if not self._control.alive:
                raise RuntimeError(f"control has died: {self._control.log.read_text()[-3000:]}")
            silent = now - self._heard
            self._report.longest_silence_s = max(self._report.longest_silence_s, silent)
            if silent > self._silent_s:
                self._accuse(f"no telemetry for {silent:.1f} s")
                self._heard = now
            if self._control.status is not before:
                self._heard = now
                self._operate(now)
            if now >= self._look_at:
                self._look_at = now + LOOK_EVERY_S
                self._look(now)

    def _operate(self, now: float) -> None:
        if self._control.status["state"] == "stopped" and now > self._cleared:
            self._cleared = now + 1.0
            self._report.clears += 1
            self._control.order("clear")

    def _look(self, now: float) -> None:
        judge, before = self._report.judge, len(self._report.judge.violations)
        loose, taut = (now < until + AFTER_S for until in self._marks.values())
        judge.look(self._power.do("account", clear=True), loose, taut)
        for i in range(before, len(judge.violations)):
            judge.violations[i] += self._context(now)

    def _accuse(self, what: str) -> None:
        self._report.judge.accuse(what + self._context(time.monotonic()))

    def _context(self, now: float) -> str:
        recent = "; ".join(f"{what} {now - at:.2f} s ago" for at, what in self._recent)
        state = self._control.status["state"]
        return f" at {now - self._began:.1f} s, {state} (faults, joint and s: {recent})"

    def _pause(self) -> None:
        """Until everything is over and the arm runs again, by itself."""
        self._pass(lambda: not self._due and time.monotonic() >= self._fault_over)
        began = time.monotonic()

        def back() -> bool:
            status = self._control.status
            return status["state"] == "running" and all(self._power.torque())

        def seen() -> bool:
            return time.monotonic() > began + BACK_S or (self._heard > began + 0.1 and back())

        self._pass(seen)
        if not back():
            self._accuse(f"not running within {BACK_S:g} s, torque {self._power.torque()}")
        self._report.pauses.append(time.monotonic() - began)


def soak(
    faults: int,
    seed: int,
    plant: str = "first_order",
    *,
    jitter_s: float = JITTER_S,
    silent_s: float = SILENT_S,
) -> Report:
    """Run it.

    Args:
        faults: How many.
        seed: Of the faults.
        plant: ``first_order`` or ``mujoco``.
        jitter_s: How late a goal may come to a servo, see ``judge.py``.
        silent_s: How long telemetry may stay away.

    Raises:
        RuntimeError: the control process died.
    """
    report = Report(Judge(bounds(GUARD, FPS, jitter_s)))
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Power(f"soak-{os.getpid()}", seed=seed, plant=plant) as power,
        Control(power, Path(folder), fps=FPS, guard=GUARD) as control,
    ):
        Soak(power, control, seed, report, silent_s).run(faults)
    return report


def main() -> int:
    """Print the report; 1 when something was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plant", default="first_order", choices=("first_order", "mujoco"))
    args = parser.parse_args()
    report = soak(args.faults, args.seed, args.plant)
    print(report)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
