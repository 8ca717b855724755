"""Control over a bad uplink: ``python -m benchmarks.uplink [--size tiny] [--markdown]``.

An emulated SO-101 with two 640×480 cameras has its chunks from a policy server behind a proxy on
loopback (``proxy.py``): without delay, with 0.3 and 1.5 s on the way up, and with a black hole that
swallows everything for some seconds. LeRobot's ``RobotClient`` and ``PolicyServer`` beside Armada's
policy server; same arm, pictures, weights; 50 actions a chunk; everybody's defaults.

The second table has the bytes, as the proxy counts them, without delay. Armada sends pictures in
the size that the policy looks at: here tiny weights look at them in the size that true ones do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.inference.contender import Run, drive
from benchmarks.inference.figures import Figures, figures, recovery_s
from benchmarks.inference.job import FPS, Job
from benchmarks.inference.link import Link
from benchmarks.inference.servers import SERVERS
from benchmarks.inference.setting import Setting, machine, setting
from benchmarks.inference.table import show

DELAYS_S = (0.0, 0.3, 1.5)
_TAKES_HOLD_S = 4.0
"""Between the beginning of a delay and of what is measured: what was planned before is over."""

_BEFORE_S = 2.0
"""Of a good link, before a black hole."""

HEADERS = (
    "uplink",
    "contender",
    "actions/s",
    "loop, Hz",
    "late ticks",
    "starved",
    "chunks/s",
    "drives again after, s",
)
BYTES = ("contender", "observations", "chunks", "B up per observation", "B down per chunk")


@dataclass(frozen=True)
class Line:
    """One contender under one condition.

    Args:
        uplink: The condition, in words.
        contender: Its name.
        run: What happened.
        begin, end: Of what counts, ``time.monotonic``.
        over: When a black hole ended; ``None``: there was none.
    """

    uplink: str
    contender: str
    run: Run
    begin: float
    end: float
    over: float | None = None

    @property
    def figures(self) -> Figures:
        return figures(self.run, self.begin, self.end)

    @property
    def loop_hz(self) -> float:
        """Passes of its control loop."""
        passes = sum(self.begin <= tick < self.end for tick in self.run.log.ticks)
        return passes / (self.end - self.begin)

    @property
    def recovery_s(self) -> float | None:
        """From the end of the black hole to a second of actions at full rate."""
        return None if self.over is None else recovery_s(self.run, self.over)

    def row(self) -> list[str]:
        of = self.figures
        if self.over is None:
            again = ""
        else:
            took = self.recovery_s
            waited = self.run.log.end - self.over
            again = f"never (waited {waited:.0f} s)" if took is None else f"{took:.2f}"
        return [
            self.uplink,
            self.contender,
            f"{of.rate_hz:.1f}",
            f"{self.loop_hz:.1f}",
            f"{of.late} of {of.ticks}",
            f"{100 * of.starved / of.ticks:.0f} %",
            f"{of.chunks / of.seconds:.2f}",
            again,
        ]


def delayed(given: Setting, name: str, delay_s: float, seconds: float) -> Line:
    """With so much delay on the way up."""
    script = [(0.0, {"do": "shape", "up_s": delay_s})]
    run = _drive(given, name, _TAKES_HOLD_S + delay_s + seconds, script)
    log = run.log
    return Line(f"{delay_s:g} s", name, run, log.end - seconds, log.end)


def swallowed(given: Setting, name: str, hole_s: float, after_s: float) -> Line:
    """With a black hole for so long, and some time after it."""
    script: list[tuple[float, dict[str, Any]]] = [
        (_BEFORE_S, {"do": "hole", "on": True}),
        (_BEFORE_S + hole_s, {"do": "hole", "on": False}),
    ]
    run = _drive(given, name, _BEFORE_S + hole_s + after_s, script)
    (began, _), (ended, _) = run.log.proxy
    return Line(f"black hole, {hole_s:g} s", name, run, began, ended, over=ended)


def weighed(given: Setting, name: str, seconds: float) -> list[str]:
    """Bytes on a good link: a row of the second table."""
    script = [(0.0, {"do": "count"}), (seconds, {"do": "count"})]
    run = _drive(given, name, seconds, script)
    log = run.log
    (began, first), (ended, last) = log.proxy
    observations = sum(began <= moment < ended for moment in log.observed)
    chunks = sum(began <= moment < ended for moment in log.chunks)
    return [
        name,
        str(observations),
        str(chunks),
        f"{(last['up'] - first['up']) / max(1, observations):,.0f}",
        f"{(last['down'] - first['down']) / max(1, chunks):,.0f}",
    ]


def _drive(
    given: Setting, name: str, seconds: float, script: Sequence[tuple[float, dict[str, Any]]]
) -> Run:
    with SERVERS[name](given.policy) as server, Link(server) as link:
        run = drive(
            Job(
                contender=name,
                policy=given.policy,
                pictures=given.pictures,
                seconds=seconds,
                server=link.address,
                proxy=str(link.control),
                script=script,
            )
        )
    print(f"{name}: {len(run.log.chunks)} chunks", file=sys.stderr, flush=True)
    return run


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--seconds", type=float, default=20.0, help="per delay")
    parser.add_argument("--hole", type=float, default=6.0, help="length of the black hole, s")
    parser.add_argument("--after", type=float, default=12.0, help="watched after it, s")
    parser.add_argument("--only", choices=SERVERS, action="append", help="fewer contenders")
    parser.add_argument("--bytes-seconds", type=float, default=20.0)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where, names = machine(), args.only or [*SERVERS]
    with setting(args.size) as given:
        lines = [
            delayed(given, name, delay_s, args.seconds) for delay_s in DELAYS_S for name in names
        ]
        lines += [swallowed(given, name, args.hole, args.after) for name in names]
        shows = given.shows
    print(f"{where}; SmolVLA, {args.size} size; {shows}; {FPS} Hz, {args.seconds:.0f} s each\n")
    show(HEADERS, [line.row() for line in lines], markdown=args.markdown)
    with setting("tiny", looks_closely=True) as given:
        rows = [weighed(given, name, args.bytes_seconds) for name in names]
    print(f"\nBytes through the proxy; pictures as a true-size SmolVLA sees them; {shows}\n")
    show(BYTES, rows, markdown=args.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
