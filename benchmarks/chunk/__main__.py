"""A chunk of SmolVLA on this machine: ``python -m benchmarks.chunk --cameras 1 2``.

LeRobot as published and cast to fp32, and each of our engines, take turns on the same weights,
observation and noise, each in a process of its own so that peak memory is its own; one computes at
a time. Printed are medians, ratios to both of LeRobot's, seconds by stage, the error against
LeRobot in fp32 in parts of the range of its actions, and the fraction that is reached of the rate
of a large product in the contender's own runtime and type (``rates.py``), counting the operations
of LeRobot's way. CPU seconds say more than
seconds on a machine that does other things as well, with ``--threads 1``: torch's threads spin
while they wait for one another.

``--outliers`` plants large channels behind the norms: an exact engine doesn't mind. True size needs
the tokenizer and the configuration of SmolVLM2 from the hub or its cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.chunk import problem, rates
from benchmarks.chunk.contender import AS_PUBLISHED, FP32, OURS, RATES

_STAGES = ("vision_s", "prefix_s", "steps_s")


@dataclass
class Contender:
    """A process and what it answered."""

    name: str
    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, folder: Path, threads: int) -> Contender:
        argv = [sys.executable, "-m", "benchmarks.chunk.contender", str(folder), name]
        argv += [str(threads), "count" if name == FP32 else "-"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        contender = cls(name, process)
        contender.ready = contender._hear()
        return contender

    def ask(self, seed: int) -> None:
        assert self.process.stdin is not None
        print(seed, file=self.process.stdin, flush=True)
        self.answers.append(self._hear())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def median(self, *path: str) -> float:
        values = []
        for answer in self.answers:
            value: Any = answer
            for key in path:
                value = value[key]
            values.append(value)
        return float(np.median(values))


def main() -> None:
    """Measure and print."""
    args = _parse()
    names = args.only or (AS_PUBLISHED, FP32, *OURS)
    measured = rates.measure((RATES[name] for name in names), args.threads)
    products = ", ".join(f"{kind} {gflops:.0f}" for kind, gflops in measured.items())
    print(
        f"{platform.machine()}, {_cpu()}, {args.threads} threads; torch {torch.__version__}; "
        f"products in GFLOP/s: {products}; load before {os.getloadavg()[0]:.1f}; "
        f"{args.size} size, {args.chunks} chunks each"
        f"{', outliers planted' if args.outliers else ''}\n"
    )
    for cameras in args.cameras:
        with tempfile.TemporaryDirectory(prefix="armada-chunk-") as scratch:
            folder = problem.build(
                Path(scratch) / "policy", size=args.size, cameras=cameras, outliers=args.outliers
            )
            contenders: list[Contender] = []
            try:
                for name in names:
                    contenders.append(Contender.start(name, folder, args.threads))
                for seed in range(args.chunks):
                    for contender in contenders:
                        contender.ask(seed)
            finally:
                for contender in contenders:
                    contender.end()
        _print(cameras, contenders, measured, args.markdown)


def _print(
    cameras: int, contenders: list[Contender], measured: dict[str, float], markdown: bool
) -> None:
    by_name = {contender.name: contender for contender in contenders}
    exact = by_name[FP32]
    flops = exact.ready["flops"]
    total = sum(flops.values())
    counted = ", ".join(f"{s.removesuffix('_s')} {flops[s] / 1e9:.0f}" for s in _STAGES)
    print(f"{cameras} camera{'s' * (cameras > 1)}: {total / 1e9:.0f} GFLOP ({counted})\n")
    rows = [
        ("", "s/chunk", "CPU s", "vision", "prefix", "steps", "× as published", "× fp32",
         "‖error‖/‖actions‖", "error RMS", "error max", "of own rate", "peak GB", "ready s")
    ]  # fmt: skip
    for contender in contenders:
        took = contender.median("s")
        relative, rms, largest = _error(contender, exact)
        published = by_name.get(AS_PUBLISHED)
        rows.append(
            (
                contender.name,
                f"{took:.3f}",
                f"{contender.median('cpu_s'):.2f}",
                *(f"{contender.median('stages', stage):.3f}" for stage in _STAGES),
                f"{published.median('s') / took:.2f}" if published else "–",
                f"{exact.median('s') / took:.2f}",
                f"{relative:.1e}",
                f"{rms:.1e}",
                f"{largest:.1e}",
                f"{total / took / measured[RATES[contender.name]] / 1e9:.0%}",
                f"{max(answer['peak'] for answer in contender.answers) / 1e9:.2f}",
                f"{contender.ready['ready_s']:.1f}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells))
        if number == 0 and markdown:
            print("|" + "|".join(["---", *["---:"] * (len(row) - 1)]) + "|")
    print()


def _error(contender: Contender, exact: Contender) -> tuple[float, float, float]:
    """Of all chunks against the exact ones: the norm of the error in parts of that of the actions;
    its RMS, and the largest, in parts of the range of the actions."""
    have, want = (np.array([a["actions"] for a in c.answers]) for c in (contender, exact))
    difference = have - want
    spread = want.max() - want.min()
    return (
        float(np.linalg.norm(difference) / np.linalg.norm(want)),
        float(np.sqrt((difference**2).mean()) / spread),
        float(np.abs(difference).max() / spread),
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.chunk")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1])
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--outliers", action="store_true")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(AS_PUBLISHED, FP32, *OURS),
        metavar="NAME",
        help=f"some of: {', '.join((AS_PUBLISHED, FP32, *OURS))}",
    )
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    if args.only and FP32 not in args.only:
        parser.error(f"errors are against {FP32}: name it too")
    return args


if __name__ == "__main__":
    main()
