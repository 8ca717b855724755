"""What happens to a fleet at random, by a seed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.federation.fleet import Fleet
from benchmarks.federation.network import Cable

VICTIMS = ("trainer", "supernode", "serverapp", "superlink", "executor", "watcher", "superexec")
_LOOK_S = 0.5


@dataclass
class Disturber:
    """Kills one process after the other, each part in turn before any comes again, and pulls the
    cable once.

    Args:
        fleet: Whose.
        cable: Of one robot.
        seed: Of the order and the pauses.
        every_s: Shortest and longest pause.
        cut_s: How long the cable is out.
    """

    fleet: Fleet
    cable: Cable
    seed: int
    every_s: tuple[float, float]
    cut_s: float
    killed: Counter[str] = field(default_factory=Counter)
    cuts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._kill, daemon=True),
            threading.Thread(target=self._cut, daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Nothing more; the cable is in."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _kill(self) -> None:
        rng = random.Random(self.seed)
        deck: list[str] = []
        while not self._over.wait(rng.uniform(*self.every_s)):
            if not deck:
                deck = rng.sample(VICTIMS, len(VICTIMS))
            part = deck.pop()
            # A ServerApp or a trainer is there only at times: it is waited for.
            pids = self.fleet.pids(part)
            while not pids and not self._over.wait(_LOOK_S):
                pids = self.fleet.pids(part)
            if not pids:
                return
            pid = rng.choice(pids)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed[part] += 1
                self._say(f"SIGKILL {part} {pid}")

    def _cut(self) -> None:
        rng = random.Random(self.seed + 1)
        if self._over.wait(rng.uniform(20.0, 80.0)):
            return
        began = time.monotonic()
        self.cable.pull()
        self._say("cable out")
        self._over.wait(self.cut_s)
        self.cable.plug()
        self.cuts.append(time.monotonic() - began)
        self._say("cable in")

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {what}", file=sys.stderr, flush=True)
