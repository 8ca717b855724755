"""What a tick costs, and how many come late: ``python -m benchmarks.ticks [--seconds 4]``.

Two tables, both measured in this run, contenders in turn (``contenders.py``):

1. LeRobot's driver alone, LeRobot's own loop, and Armada's control loop, at 30 and 60 Hz, idle and
   with both cores busy.
2. Whether the arm should have a process of its own: the supervised arm in the control loop's
   process against one in a child; with cameras that OpenCV decodes in threads beside the loop, with
   a thread that holds the interpreter, and while a servo is dead (time-outs of 50 ms). The third
   contender is the first with threads that take turns every 0.1 ms instead of Python's 5.

A tick is *late* when it begins more than one and a half periods after the one before; a pause of
several periods counts as several. Work is what a tick does, without waiting for the next.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.contenders import CONTENDERS, IN_LOOP


@dataclass
class Cell:
    """One contender in one condition at one rate, all repeats."""

    medians: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    late: int = 0
    ticks: int = 0
    arm_late: int = 0
    arm_ticks: int = 0

    def add(self, said: dict[str, Any]) -> None:
        begins, works = np.array(said["ticks"]).T
        gaps = np.diff(begins) * said["fps"]
        self.late += int(np.maximum(0, np.round(gaps) - 1).sum())
        self.ticks += round(float(gaps.sum()))
        self.medians.append(float(np.median(works)) * 1e3)
        self.p99s.append(float(np.quantile(works, 0.99)) * 1e3)
        self.lags.append(said["lag_s"] * 1e3)
        self.arm_late += said["arm"][0]
        self.arm_ticks += said["arm"][1]

    def work(self) -> str:
        return f"{np.median(self.medians):.2f} | {np.median(self.p99s):.1f}"


CONDITIONS = ("idle", "both cores busy", "two cameras", "a Python thread", "a servo is dead")

Cells = dict[tuple[str, int, str], Cell]


def measure(names: list[str], repeats: int, seconds: float) -> Cells:
    """All of them in turn, ``repeats`` times."""
    cells: Cells = defaultdict(Cell)
    for repeat in range(repeats):
        for name in names:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.contenders", name, f"--seconds={seconds}"],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
            for line in done.stdout.splitlines():
                said = json.loads(line)
                cells[name, said["fps"], said["condition"]].add(said)
            print(f"{repeat + 1} of {repeats}: {name}", file=sys.stderr, flush=True)
    return cells


def loops(cells: Cells) -> str:
    """The first table."""
    lines = [
        "| Hz | machine | contender | work, ms | p99 | late ticks |",
        "|---|---|---|---|---|---|",
    ]
    for (name, fps, condition), cell in sorted(cells.items(), key=_order):
        late = f"{cell.late} of {cell.ticks}"
        lines.append(f"| {fps} | {condition} | {name} | {cell.work()} | {late} |")
    return "\n".join(lines)


def places(cells: Cells) -> str:
    """The second table."""
    lines = [
        "| Hz | meanwhile | the arm | control's work, ms | p99 | control late | arm late "
        "| observation to goal, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, fps, condition), cell in sorted(cells.items(), key=_order):
        late = f"{cell.late} of {cell.ticks}"
        own = f"{cell.arm_late} of {cell.arm_ticks}" if cell.arm_ticks else "the same"
        lag = f"{np.median(cell.lags):.1f}"
        lines.append(f"| {fps} | {condition} | {name} | {cell.work()} | {late} | {own} | {lag} |")
    return "\n".join(lines)


def reading(cells: Cells) -> str:
    """The second table in a sentence: late ticks of whoever drives the arm, by condition."""
    said = []
    for condition in CONDITIONS:
        late: dict[str, float] = {}
        for name in CONTENDERS:
            mine = [c for (n, _, what), c in cells.items() if n == name and what == condition]
            if mine:
                drives = [
                    (c.arm_late, c.arm_ticks) if c.arm_ticks else (c.late, c.ticks) for c in mine
                ]
                late[name] = 100 * sum(a for a, _ in drives) / max(1, sum(b for _, b in drives))
        said.append(f"{condition}: " + ", ".join(f"{late[n]:.1f} % {n}" for n in late))
    return "late ticks of whoever drives the arm: " + "; ".join(said)


def _order(item: tuple[tuple[str, int, str], Cell]) -> tuple[int, int, int]:
    (name, fps, condition), _ = item
    return fps, CONDITIONS.index(condition), [*CONTENDERS].index(name)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="per condition")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("loops", "places"))
    args = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}, root: {os.getuid() == 0}\n"
    )
    others = [name for name in CONTENDERS if name not in IN_LOOP]
    if args.only != "places":
        print(loops(measure([*IN_LOOP], args.repeats, args.seconds)), "\n", flush=True)
    if args.only != "loops":
        cells = measure(others, args.repeats, args.seconds)
        print(places(cells))
        print(f"\n{reading(cells)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
