"""SIGKILL while recording: ``python -m benchmarks.recording.kills [--kills 200] [--seed 0]``.

Two cameras of 320×240 at 30 Hz, episodes of ``--episode`` s one after the other. The recorder is
killed at random instants; then plain LeRobot opens what is there, before anything repairs it.

- *Saved episodes lost*: the recorder had said that they are saved, and LeRobot can't read them.
- *Unfinished*: seconds of the open episode that had been handed over, and how many of them the next
  start brings back. An episode that was ended but not yet called saved counts as unfinished.

Armada's data set is one for all kills: each session goes on with what the last one left. LeRobot's
is begun anew where it can't be opened any more, and gone on with where it can.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.inference.setting import machine
from benchmarks.inference.table import show
from benchmarks.recording.forks import FORKS, ask
from benchmarks.recording.lerobot import record
from benchmarks.recording.look import Found, look
from benchmarks.recording.ours import Ours
from benchmarks.recording.scene import FPS, Scene

SIZE = (240, 320)
_PAUSE = 6
_NEWEST = 3

HEADERS = (
    "recorder",
    "kills",
    "episodes said to be saved",
    "of these lost",
    "kills after which LeRobot can't open it",
    "unfinished, s: handed over",
    "lost",
    "lost at a kill: median",
    "largest",
)


@dataclass
class Toll:
    """Of one recorder."""

    kills: int = 0
    saved: int = 0
    lost: int = 0
    unreadable: int = 0
    handed_s: float = 0.0
    lost_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def count(self, found: Found, saved: set[int]) -> None:
        """After a kill, before any repair."""
        self.kills += 1
        self.lost += len(saved - found.lengths.keys())
        if found.error:
            self.unreadable += 1
            self.errors[found.error] = self.errors.get(found.error, 0) + 1

    def row(self, name: str) -> list[str]:
        lost = np.array(self.lost_s or [0.0])
        return [
            name,
            str(self.kills),
            str(self.saved),
            str(self.lost),
            str(self.unreadable),
            f"{self.handed_s:.0f}",
            f"{lost.sum():.1f}",
            f"{np.median(lost):.2f}",
            f"{lost.max():.2f}",
        ]


def kill_ours(folder: Path, scene: Scene, instants: list[float], frames: int) -> Toll:
    """One data set, as many sessions as instants."""
    toll, recorder = Toll(), Ours(folder, scene)
    saved: set[int] = set()
    number = 0
    handed: dict[int, int] = {}
    for instant in instants:
        recorder.start()
        if handed:
            _recovered(toll, ask(look, recorder.root, _NEWEST), handed)
        before, handed, begun = recorder.saved, {}, []
        until = time.perf_counter() + instant
        at = time.perf_counter()
        while time.perf_counter() < until:
            number += 1
            begun.append(number)
            recorder.begin(number)
            for i in range(frames):
                at += 1 / FPS
                time.sleep(max(0.0, min(at, until) - time.perf_counter()))
                if time.perf_counter() >= until:
                    break
                recorder.tap(number, i)
                handed[number] = i + 1
            else:
                recorder.end()
                at += _PAUSE / FPS
                time.sleep(max(0.0, min(at, until) - time.perf_counter()))
        recorder.kill()
        done = begun[: recorder.saved - before]
        saved |= set(done)
        toll.saved += len(done)
        handed = {n: i for n, i in handed.items() if n not in done}
        toll.handed_s += sum(handed.values()) / FPS
        toll.count(ask(look, recorder.root, _NEWEST), saved)
        _say(recorder.name, toll)
    recorder.start()
    _recovered(toll, ask(look, recorder.root, _NEWEST), handed)
    recorder.finish()
    return toll


def _recovered(toll: Toll, found: Found, handed: dict[int, int]) -> None:
    """After the next start: how much of what was handed over is there."""
    lost = sum(rows - found.lengths.get(number, 0) for number, rows in handed.items())
    toll.lost_s.append(lost / FPS)


def kill_theirs(folder: Path, scene: Scene, instants: list[float], frames: int) -> Toll:
    """A session for each instant, on the same data set as long as it opens."""
    toll = Toll()
    saved: set[int] = set()
    number, generation = 1, 0
    for instant in instants:
        root = folder / f"data{generation}"
        here, there = FORKS.Pipe()
        process = FORKS.Process(
            target=record,
            args=(there, root, Scene(*SIZE), folder / f"p{toll.kills}", number, frames, _PAUSE),
        )
        process.start()
        there.close()
        here.recv()
        time.sleep(instant)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        handed: dict[int, int] = {}
        done: set[int] = set()
        with contextlib.suppress(EOFError):
            while True:
                kind, *about = here.recv()
                if kind == "saved":
                    done.add(about[0])
                else:
                    handed[about[0]] = about[1] + 1
        saved |= done
        toll.saved += len(done)
        number = max([number, *handed]) + 1
        unfinished = sum(rows for n, rows in handed.items() if n not in done) / FPS
        toll.handed_s += unfinished
        found = ask(look, root, _NEWEST)
        toll.count(found, saved)
        toll.lost_s.append(unfinished)
        if found.error or saved - found.lengths.keys() or not found.claimed:
            generation += 1
            saved = set()
        _say("LeRobot", toll)
    return toll


def _say(name: str, toll: Toll) -> None:
    if toll.kills % 10 == 0:
        print("so far:", ", ".join(toll.row(name)), file=sys.stderr, flush=True)


def main() -> int:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episode", type=float, default=2.0, help="seconds of an episode")
    parser.add_argument("--within", type=float, default=6.0, help="s from the start of a session")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    instants = [rng.uniform(0.0, args.within) for _ in range(args.kills)]
    frames = round(args.episode * FPS)
    with tempfile.TemporaryDirectory(prefix="armada-kills-") as folder:
        scene = Scene(*SIZE)
        scene.load(Path(folder) / "pictures")
        tolls = {}
        for name, kill in (("Armada", kill_ours), ("LeRobot", kill_theirs)):
            (Path(folder) / name).mkdir()
            tolls[name] = kill(Path(folder) / name, scene, instants, frames)
    print(
        f"{machine()}; {args.kills} kills each, seed {args.seed}, within {args.within:g} s of a "
        f"session's start, episodes of {args.episode:g} s; {scene.shows}\n"
    )
    show(HEADERS, [toll.row(name) for name, toll in tolls.items()], markdown=args.markdown)
    for name, toll in tolls.items():
        for error, times in sorted(toll.errors.items(), key=lambda e: -e[1])[:4]:
            print(f"\n{name}, {times} times: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
