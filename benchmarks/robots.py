"""Many robots on one policy server: ``python -m benchmarks.robots [--size tiny] [--markdown]``.

1, 4 and 16 robots (client loops without arms, two 640×480 cameras) ask one server as fast as it
answers: LeRobot's ``PolicyServer`` with the messages of its ``RobotClient``, and Armada's policy
server with the sessions of its remote worker. Same pictures and weights; a server of its own for
every line. Clients and server share the machine.

A LeRobot server is made for one robot: the next one to connect has it load the policy anew, and a
chunk goes to whoever asks first. What came to the wrong robot is counted: every observation has a
number that tells whose it is, in both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.inference import ask_armada, ask_lerobot
from benchmarks.inference.fleet import Fleet, read_pictures
from benchmarks.inference.servers import SERVERS
from benchmarks.inference.setting import Setting, machine, setting
from benchmarks.inference.table import show

FLEETS = {"LeRobot client and server": ask_lerobot.fleet, "Armada": ask_armada.fleet}
NUMBERS = (1, 4, 16)
_START_S = 300.0

HEADERS = (
    "robots",
    "contender",
    "chunks/s, all",
    "fewest, most of a robot",
    "latency, ms: p50",
    "p95",
    "to the wrong robot",
    "without a chunk",
)


@dataclass(frozen=True)
class Line:
    """So many robots on one contender's server.

    Args:
        contender: Its name.
        fleet: What they saw.
        begin, end: Of what counts.
    """

    contender: str
    fleet: Fleet
    begin: float
    end: float

    def _within(self, moments: Sequence[float]) -> int:
        return sum(self.begin <= moment < self.end for moment in moments)

    @property
    def chunks(self) -> list[int]:
        """Per robot, those that were its own."""
        return [self._within([when for when, _ in robot.chunks]) for robot in self.fleet.robots]

    @property
    def strange(self) -> int:
        """Chunks that came to the wrong robot."""
        return sum(self._within(robot.strange) for robot in self.fleet.robots)

    @property
    def failed(self) -> int:
        """Questions that ended without a chunk."""
        return sum(self._within(robot.failed) for robot in self.fleet.robots)

    @property
    def latencies_ms(self) -> list[float]:
        """From an observation to its chunk."""
        return [
            took_s * 1e3
            for robot in self.fleet.robots
            for when, took_s in robot.chunks
            if self.begin <= when < self.end
        ]

    def row(self) -> list[str]:
        took = self.latencies_ms
        p50, p95 = np.quantile(took, (0.5, 0.95)) if took else (np.nan, np.nan)
        chunks = self.chunks
        return [
            str(len(self.fleet.robots)),
            self.contender,
            f"{sum(chunks) / (self.end - self.begin):.2f}",
            f"{min(chunks)}, {max(chunks)}",
            f"{p50:.0f}" if took else "none",
            f"{p95:.0f}" if took else "none",
            str(self.strange),
            str(self.failed),
        ]


def measure(given: Setting, name: str, number: int, seconds: float) -> Line:
    """One line, on a server of its own."""
    moments = read_pictures(Path(given.pictures))
    with SERVERS[name](given.policy) as server:
        fleet = FLEETS[name](server, given.policy, moments, number)
        begin, end = fleet.run(seconds, start_s=_START_S)
    line = Line(name, fleet, begin, end)
    print(f"{number}: {name}, {sum(line.chunks)} chunks", file=sys.stderr, flush=True)
    return line


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--seconds", type=float, default=20.0, help="per line")
    parser.add_argument("--robots", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    where = machine()
    with setting(args.size) as given:
        lines = [
            measure(given, name, number, args.seconds) for number in args.robots for name in FLEETS
        ]
    print(f"{where}; SmolVLA, {args.size} size; {given.shows}; {args.seconds:.0f} s a line\n")
    show(HEADERS, [line.row() for line in lines], markdown=args.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
