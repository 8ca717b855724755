"""How much memory a server needs for its robots' updates:
``python -m benchmarks.federation.memory [--scale 0.125] [--encoding fp32] [--replies 4 16 64]``.

Replies of the shape of SmolVLA's action expert (155 tensors, 99.9 M parameters; with ``--scale``
their first dimensions are so much of the true ones). Armada takes each as the server does: reply,
checks, disk, next; then it aggregates from the disk. Flower's ``FedAvg.aggregate_train`` gets all
of them, as its ``Strategy.start`` does. Each line is a process of its own, ours and Flower's by
turns; what is printed is its peak resident memory (``VmHWM``), files that it has mapped included.

Without room for Flower's replies its line is left out and said so.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.federation.memory_once import FLOWER, OURS, Job, Measured
from benchmarks.federation.updates import shapes
from benchmarks.inference.setting import machine
from server.aggregation.config import FEDADAM, FEDAVG, KRUM, MEDIAN, TRIMMED_MEAN

_BESIDES_AT = 16
"""Replies with which the other strategies are measured."""


def run(job: Job) -> Measured:
    """A line, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="armada-memory-") as folder:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.federation.memory_once",
                json.dumps(asdict(job)),
                folder,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def available_mb() -> float:
    """Memory that could be had now without swapping."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("MemAvailable:"))
    return int(line.split()[1]) / 1e3


def jobs(counts: list[int], scale: float, encoding: str) -> list[Job]:
    """By turns."""
    lines = [
        Job(who, FEDAVG, count, scale, "fp32" if who == FLOWER else encoding)
        for count in counts
        for who in (OURS, FLOWER)
    ]
    return lines + [
        Job(OURS, strategy, _BESIDES_AT, scale, encoding)
        for strategy in (FEDADAM, MEDIAN, TRIMMED_MEAN, KRUM)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=0.125)
    parser.add_argument("--encoding", default="fp32")
    parser.add_argument("--replies", type=int, nargs="+", default=[4, 16, 64])
    args = parser.parse_args()
    each_mb = 4e-6 * sum(math.prod(s) for s in shapes(args.scale).values())
    print(f"{machine()}; an update is {each_mb:.0f} MB in fp32 (scale {args.scale:g})\n")
    print(
        "| | strategy | replies | travels as | peak MB | above start MB | take CPU s | sum CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for job in jobs(args.replies, args.scale, args.encoding):
        head = f"| {job.who} | {job.strategy} | {job.replies} | {job.encoding} |"
        if job.who == FLOWER and job.replies * each_mb * 1.2 > available_mb():
            print(f"{head} needs {job.replies * each_mb / 1e3:.0f} GB: not run | | | |", flush=True)
            continue
        of = run(job)
        taken = f"{of.take_s:.1f}" if job.who == OURS else ""
        print(
            f"{head} {of.peak_mb:.0f} | {of.peak_mb - of.before_mb:.0f} "
            f"| {taken} | {of.aggregate_s:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
