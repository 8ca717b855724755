"""The emulated arm's process: ``python -m robots.emulator.bus --folder …``.

Six servos on a pseudo-terminal, whose stable name is ``<folder>/port``, and the world in
``<folder>/world``. A process of its own, since the vendor's SDK busy-waits 50 ms of wall clock for
an answer and a shared interpreter would keep it waiting.

Prints one JSON line when it serves. Reads JSON lines from stdin, which tests and demonstrations
use to break things: ``{"do": "unplug"}``, ``{"do": "replug"}``, ``{"do": "dead", "id": 3, "dead":
true}``. Ends when stdin does: an emulated arm never outlives who started it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import sys
import time
import tty
from pathlib import Path
from typing import Any

import numpy as np

from robots.emulator import joints
from robots.emulator.plant import FirstOrderPlant
from robots.emulator.servo import (
    ACTION,
    BROADCAST,
    PING,
    READ,
    REG_WRITE,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    Packet,
    Servo,
    parse,
    status,
)
from robots.emulator.world import World, WorldFile

STEP_S = 0.004
"""Physics at 250 Hz: a sixteenth of the plant's time constant."""

HIT_TICKS = 80
"""At the goal: every joint within 7°."""

IN_USE = 3
"""Exit status when another emulated arm has this folder."""


class Line:
    """A pseudo-terminal under a stable name.

    Args:
        link: The name, a symbolic link to the terminal of the moment.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self.master = -1
        self._slave = -1
        self.plug()

    @property
    def plugged(self) -> bool:
        return self.master >= 0

    def plug(self) -> None:
        if self.plugged:
            return
        # The slave stays open here: else the master reads EIO whenever the driver closes its end.
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        fresh = self._link.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._link)

    def unplug(self) -> None:
        if not self.plugged:
            return
        self._link.unlink(missing_ok=True)
        os.close(self.master)
        os.close(self._slave)
        self.master = self._slave = -1


class Emulator:
    """Servos, plant and world.

    Args:
        folder: Where port and world go.
        seed: Of the goals.
        goal_period_s: How long each goal stays.
    """

    def __init__(self, folder: Path, *, seed: int, goal_period_s: float) -> None:
        self._line = Line(folder / "port")
        self._world = WorldFile(folder / "world", create=True)
        self._random = np.random.default_rng(seed)
        self._goal_period_s = goal_period_s
        self._buffer = bytearray()
        self._servos: dict[int, Servo] = {}
        low, high = joints.limits()
        for motor in joints.calibration().values():
            servo = Servo(motor["id"])
            servo.set("Homing_Offset", motor["homing_offset"])
            servo.set("Min_Position_Limit", motor["range_min"])
            servo.set("Max_Position_Limit", motor["range_max"])
            self._servos[motor["id"]] = servo
        middle = (low + high) / 2
        self._plant = FirstOrderPlant(middle + self._offsets())
        for servo, position in zip(self._servos.values(), middle, strict=True):
            servo.set("Goal_Position", round(position))
        self._last = time.monotonic()
        self._goal = middle
        self._goal_until = 0.0
        self._goals = self._hits = 0
        self._next_goal()
        self._step()

    def serve(self) -> None:
        """Until stdin ends."""
        commands = b""
        while True:
            waiting: list[int] = [sys.stdin.fileno()]
            if self._line.plugged:
                waiting.append(self._line.master)
            ready, _, _ = select.select(waiting, [], [], STEP_S)
            self._step()
            if self._line.master in ready:
                self._receive()
            if sys.stdin.fileno() in ready:
                data = os.read(sys.stdin.fileno(), 4096)
                if not data:
                    self._line.unplug()
                    return
                *lines, commands = (commands + data).split(b"\n")
                for line in lines:
                    self._command(json.loads(line))

    def _command(self, command: dict[str, Any]) -> None:
        if command["do"] == "unplug":
            self._line.unplug()
        elif command["do"] == "replug":
            self._line.plug()
        elif command["do"] == "dead":
            self._servos[command["id"]].dead = command["dead"]

    # Physics -------------------------------------------------------------------------------

    def _offsets(self) -> Any:
        return np.array([s.get("Homing_Offset") for s in self._servos.values()], float)

    def _step(self) -> None:
        now = time.monotonic()
        offsets = self._offsets()
        goal = np.array([s.get("Goal_Position") for s in self._servos.values()], float) + offsets
        torque = np.array(
            [bool(s.get("Torque_Enable")) and not s.dead for s in self._servos.values()]
        )
        self._plant.step(goal, torque, now - self._last)
        self._last = now
        present = self._plant.position - offsets
        for servo, position, speed in zip(
            self._servos.values(), present, self._plant.velocity, strict=True
        ):
            servo.set("Present_Position", round(position))
            servo.set("Present_Velocity", round(speed))
            servo.set("Moving", int(abs(speed) > 10))
        if now >= self._goal_until:
            self._hits += bool(np.all(np.abs(present - self._goal) <= HIT_TICKS))
            self._goals += 1
            self._next_goal()
        self._world.write(World(present, self._goal, self._goals, self._hits, now))

    def _next_goal(self) -> None:
        low, high = joints.limits()
        share = self._random.uniform(-0.5, 0.5, len(low)) * joints.GOAL_SPAN
        self._goal = (low + high) / 2 + share * (high - low)
        self._goal_until = time.monotonic() + self._goal_period_s

    # The bus -------------------------------------------------------------------------------

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._buffer += os.read(self._line.master, 4096)
        answers = b"".join(self._answer(packet) for packet in parse(self._buffer))
        while answers:
            try:
                answers = answers[os.write(self._line.master, answers) :]
            except BlockingIOError:
                return  # nobody reads: on a real bus the bytes would be gone as well

    def _answer(self, packet: Packet) -> bytes:
        data = packet.parameters
        if packet.instruction == SYNC_WRITE:
            address, size = data[0], data[1]
            for i in range(2, len(data) - size, size + 1):
                self._write(data[i], address, data[i + 1 : i + 1 + size])
            return b""
        if packet.instruction == SYNC_READ:
            address, size = data[0], data[1]
            return b"".join(self._read(servo_id, address, size) for servo_id in data[2:])
        if packet.instruction == ACTION:
            for servo in self._servos.values():
                if servo.waiting is not None:
                    servo.write(*servo.waiting)
                    servo.waiting = None
            return b""
        targets = [*self._servos] if packet.id == BROADCAST else [packet.id]
        return b"".join(self._single(servo_id, packet) for servo_id in targets)

    def _single(self, servo_id: int, packet: Packet) -> bytes:
        servo = self._servos.get(servo_id)
        if servo is None or servo.dead:
            return b""
        data = packet.parameters
        if packet.instruction == READ:
            return self._read(servo_id, data[0], data[1])
        if packet.instruction == WRITE:
            self._write(servo_id, data[0], data[1:])
        elif packet.instruction == REG_WRITE:
            servo.waiting = (data[0], data[1:])
        elif packet.instruction != PING:
            return b""
        quiet = packet.id == BROADCAST and packet.instruction != PING
        return b"" if quiet else status(servo_id, 0)

    def _read(self, servo_id: int, address: int, size: int) -> bytes:
        servo = self._servos.get(servo_id)
        if servo is None or servo.dead:
            return b""
        return status(servo_id, 0, servo.read(address, size))

    def _write(self, servo_id: int, address: int, data: bytes) -> None:
        servo = self._servos.get(servo_id)
        if servo is not None and not servo.dead:
            servo.write(address, data)


def main() -> int:
    """Serve one arm."""
    parser = argparse.ArgumentParser(description="An emulated SO-101 on a pseudo-terminal.")
    parser.add_argument("--folder", type=Path, required=True, help="where port and world go")
    parser.add_argument("--seed", type=int, default=0, help="of the goals")
    parser.add_argument("--goal-period-s", type=float, default=4.0, help="time per goal, s")
    args = parser.parse_args()
    args.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(args.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return IN_USE
    emulator = Emulator(args.folder, seed=args.seed, goal_period_s=args.goal_period_s)
    sys.stdout.write(json.dumps({"port": str(args.folder / "port"), "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    emulator.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
