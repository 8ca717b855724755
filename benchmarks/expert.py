"""How often the scripted expert picks up the cube: ``python -m benchmarks.expert [--starts 20]``.

Everything between expert and cube is what an arm has: LeRobot's driver, the vendor's SDK, a serial
line, servos, physics, at 30 Hz and in real time. A start is a seed of the plant; success is the
plant's own account, the cube lifted by 5 cm for a quarter of a second.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from robots.emulator.mujoco_model import PAN_AXIS_M
from robots.emulator.scene_file import SceneFile
from robots.sim import (
    ScriptedPick,
    ScriptedPickConfig,
    SO101Sim,
    SO101SimConfig,
)

PERIOD_S = 1 / 30


def one(seed: int, *, camera: bool, limit_s: float) -> tuple[float, bool, int, float, float]:
    """A start: distance in m, success, successes by the plant's account, s, median tick in ms."""
    name = f"expert-{os.getpid()}"
    robot = SO101Sim(SO101SimConfig(id=name, plant="mujoco", seed=seed))
    if not camera:
        robot.cameras = {}
    expert = ScriptedPick(ScriptedPickConfig(id=name, attempts=1))
    robot.connect()
    try:
        expert.connect()
        scene = SceneFile(robot.folder)
        distance = float(np.hypot(*(scene.read().cube[:2] - PAN_AXIS_M)))
        began = due = time.monotonic()
        ticks = []
        while not expert.finished and time.monotonic() - began < limit_s:
            started = time.perf_counter()
            robot.get_observation()
            robot.send_action(expert.get_action())
            ticks.append(time.perf_counter() - started)
            due += PERIOD_S
            time.sleep(max(0.0, due - time.monotonic()))
        took = time.monotonic() - began
        counted = scene.read().successes
        scene.close()
        return distance, expert.success, counted, took, float(np.median(ticks)) * 1e3
    finally:
        expert.disconnect()
        robot.disconnect()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--camera", action="store_true", help="with the front camera, 224×224")
    parser.add_argument("--limit-s", type=float, default=20.0, help="per start")
    args = parser.parse_args()
    print("| seed | distance, m | success | time, s | tick, ms |")
    print("|---|---|---|---|---|")
    won, times = 0, []
    for seed in range(args.first_seed, args.first_seed + args.starts):
        distance, said, counted, took, tick_ms = one(seed, camera=args.camera, limit_s=args.limit_s)
        success = said and counted == 1
        won += success
        times.append(took)
        print(
            f"| {seed} | {distance:.3f} | {'yes' if success else 'no'} | {took:.1f} "
            f"| {tick_ms:.1f} |",
            flush=True,
        )
    print(f"\n{won} of {args.starts} starts, one attempt each, median {np.median(times):.1f} s")


if __name__ == "__main__":
    main()
