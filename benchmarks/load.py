"""Control under full load: ``python -m benchmarks.load [--size full] [--seconds 40] [--markdown]``.

A policy saturates the machine's cores while an emulated SO-101 with two 640×480 cameras is to get
30 actions a second. In turn, on the same arm, pictures and weights: LeRobot's real-time chunking (a
thread), LeRobot's ``RobotClient`` and ``PolicyServer`` (two processes), and Armada's control and
policy worker. All by their own defaults; with ``--always`` (as ``--size tiny``, which would rest
otherwise) each asks for the next chunk as soon as one is there.

What is counted and how: ``benchmarks/inference/figures.py``. Random weights give noise for actions:
what a seam costs shows against the steps elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.inference.contender import CONTENDERS, drive
from benchmarks.inference.figures import Figures, figures
from benchmarks.inference.job import Job
from benchmarks.inference.servers import lerobot_server
from benchmarks.inference.setting import Setting, machine, setting
from benchmarks.inference.table import show

HEADERS = (
    "contender",
    "actions/s",
    "between actions, ms: p50",
    "p99",
    "max",
    "late ticks: on the bus",
    "in the loop",
    "starved",
    "chunks/s",
    "seams: largest, RMS",
    "elsewhere: largest, RMS",
)


def measure(
    given: Setting,
    *,
    seconds: float,
    repeats: int,
    always: bool,
    names: Sequence[str],
    options: dict[str, Any] | None = None,
) -> dict[str, Figures]:
    """All of them in turn, ``repeats`` times; ``options`` of ``--inference…`` are Armada's."""
    results: dict[str, Figures] = {}
    for repeat in range(repeats):
        for name in names:
            with contextlib.ExitStack() as stack:
                served = name == "LeRobot client and server"
                job = Job(
                    contender=name,
                    policy=given.policy,
                    pictures=given.pictures,
                    seconds=seconds,
                    always=always,
                    options=options or {},
                    server=stack.enter_context(lerobot_server(given.policy)) if served else "",
                )
                result = figures(drive(job))
            results[name] = results[name] + result if name in results else result
            print(f"{repeat + 1} of {repeats}: {name}", file=sys.stderr, flush=True)
    return results


def row(name: str, of: Figures) -> list[str]:
    """A line of the table."""
    gaps = of.gaps_ms if len(of.gaps_ms) else np.array([np.inf])
    return [
        name,
        f"{of.rate_hz:.1f}",
        f"{np.quantile(gaps, 0.5):.1f}",
        f"{np.quantile(gaps, 0.99):.0f}",
        f"{gaps.max():.0f}",
        _share(of.late, of.ticks),
        _share(of.loop_late, of.ticks),
        f"{100 * of.starved / of.ticks:.0f} %",
        f"{of.chunks / of.seconds:.2f}",
        _jump(of.seams),
        _jump(of.steps),
    ]


def _share(some: int, of: int) -> str:
    return f"{some} of {of} ({100 * some / max(1, of):.2f} %)"


def _jump(jumps: NDArray[np.float64]) -> str:
    if not len(jumps):
        return "none"
    return f"{jumps.max():.1f}, {np.sqrt((jumps**2).mean()):.2f}"


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--seconds", type=float, default=40.0, help="per contender and repeat")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--always", action="store_true", help="ask without pause")
    parser.add_argument("--only", choices=CONTENDERS, action="append", help="fewer contenders")
    parser.add_argument(
        "--ours", type=_option, action="append", default=[], help="name=value of --inference.…"
    )
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where = machine()
    with setting(args.size) as given:
        results = measure(
            given,
            seconds=args.seconds,
            repeats=args.repeats,
            always=args.always or args.size == "tiny",
            names=args.only or [*CONTENDERS],
            options=dict(args.ours),
        )
        print(
            f"{where}; SmolVLA, {args.size} size, random weights; {given.shows}; "
            f"{args.repeats} × {args.seconds:.0f} s each\n"
        )
    show(HEADERS, [row(*item) for item in results.items()], markdown=args.markdown)
    for name, of in results.items():
        for cause in of.died:
            print(f"\n{name} ended by itself, and what is measured with it: {cause}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
