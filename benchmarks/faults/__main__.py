"""``python -m benchmarks.faults [--only NAME] [--markdown]``: every fault, on Armada's control
process and on LeRobot's loop, in one run.

All of Armada's rows run on one control process; LeRobot's each on a fresh one, since most end it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.faults.around import pulls
from benchmarks.faults.fault import Fault
from benchmarks.faults.matrix import FAULTS
from benchmarks.faults.run_lerobot import TheirRun, Theirs
from benchmarks.faults.run_ours import BrokenPromise, Ours, OursRun, start
from benchmarks.faults.table import markdown, row, text, torque
from benchmarks.rig import Power


def ours(faults: list[Fault]) -> tuple[dict[str, Ours | str], str]:
    """Results by name, and the servos' torque after SIGTERM."""
    results: dict[str, Ours | str] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Power(f"ours{os.getpid()}", goal_period_s=1.0) as power,
    ):
        with start(power, Path(folder)) as control:
            run = OursRun(power, control)
            for fault in faults:
                try:
                    results[fault.name] = run.run(fault)
                except (BrokenPromise, TimeoutError) as error:
                    results[fault.name] = str(error)
                _say(f"Armada   {fault.name}: {_brief(results[fault.name])}")
        return results, torque(pulls(power))


def theirs(faults: list[Fault]) -> tuple[dict[str, Theirs | str], str]:
    """The same for LeRobot."""
    results: dict[str, Theirs | str] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Power(f"theirs{os.getpid()}", goal_period_s=1.0) as power,
    ):
        run = TheirRun(power, Path(folder))
        for fault in faults:
            if not fault.theirs:
                results[fault.name] = "–"
                continue
            try:
                results[fault.name] = run.run(fault)
            except RuntimeError as error:
                results[fault.name] = str(error)
            _say(f"LeRobot  {fault.name}: {_brief(results[fault.name])}")
        return results, torque(run.terminated())


def main() -> int:
    """Run, print; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.faults")
    parser.add_argument("--only", action="append", choices=[f.name for f in FAULTS])
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    faults = [f for f in FAULTS if not args.only or f.name in args.only]
    faults = [f for f in faults if not f.root or os.geteuid() == 0]
    mine, my_end = ours(faults)
    other, other_end = theirs(faults)
    rows = [row(fault, mine[fault.name], other[fault.name]) for fault in faults]
    sys.stdout.write((markdown if args.markdown else text)(rows) + "\n\n")
    broken = [name for name, result in mine.items() if isinstance(result, str)]
    sys.stdout.write(
        f"{len(faults)} faults, {len(broken)} not as written. "
        f"Torque after SIGTERM to a loop that is well: Armada {my_end}, LeRobot {other_end}.\n"
    )
    return 1 if broken else 0


def _brief(result: Ours | Theirs | str) -> str:
    if isinstance(result, Ours):
        return f"as written, {', '.join(result.events) or 'no events'}"
    return result.does if isinstance(result, Theirs) else f"NOT AS WRITTEN: {result[:300]}"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
