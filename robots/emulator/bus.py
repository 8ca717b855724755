"""The emulated arm's process: ``python -m robots.emulator.bus --folder …``.

Six servos on a pseudo-terminal, whose stable name is ``<folder>/port``, and the world in
``<folder>/world``. A process of its own, since the vendor's SDK busy-waits 50 ms of wall clock for
an answer and a shared interpreter would keep it waiting.

Prints one JSON line when it serves, obeys fault commands on ``<folder>/faults`` and from a script,
and ends when its stdin does: an emulated arm never outlives who started it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.emulator import joints
from robots.emulator.account import Account
from robots.emulator.client import listen
from robots.emulator.faults import Faults, read_script
from robots.emulator.journal import GoalJournal
from robots.emulator.line import Line
from robots.emulator.packets import (
    ACTION,
    BROADCAST,
    PING,
    READ,
    REG_WRITE,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    Packet,
    parse,
    status,
)
from robots.emulator.plant import Plant, make_plant
from robots.emulator.registers import TABLE
from robots.emulator.servo import Servo
from robots.emulator.trouble import Trouble
from robots.emulator.world import HIT_TICKS, World, WorldFile
from robots.errors import ArmadaError, ConfigError

STEP_S = 0.004
"""Physics at 250 Hz: a sixteenth of the plant's time constant."""

IN_USE = 3
"""Exit status when another emulated arm has this folder."""

_NICENESS = -15
"""Where we may."""

_SILENCE_S = 0.01
"""After so long a servo forgets half an instruction."""


class Emulator:
    """Servos, plant and world.

    Args:
        folder: Where port and world go.
        seed: Of the goals, and of random troubles.
        goal_period_s: How long each goal stays.
        plant: ``first_order`` or ``mujoco``.
        journal: Where goals that are written are noted; ``None``: nowhere.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        goal_period_s: float,
        plant: str = "first_order",
        journal: GoalJournal | None = None,
    ) -> None:
        self.line = Line(folder / "port")
        self.trouble = Trouble(np.random.default_rng([seed, 1]))
        self.account = Account()
        self.servos: dict[int, Servo] = {}
        self.blocked: set[int] = set()
        self.now = time.monotonic()
        self._world = WorldFile(folder / "world", create=True)
        self._random = np.random.default_rng(seed)
        self._goal_period_s = goal_period_s
        self._journal = journal
        self._buffer = bytearray()
        self._heard = bytearray()
        self._heard_at = 0.0
        self._deaf: tuple[int, ...] = ()
        low, high = joints.limits()
        for motor in joints.calibration().values():
            servo = Servo(motor["id"])
            servo.set("Homing_Offset", motor["homing_offset"])
            servo.set("Min_Position_Limit", motor["range_min"])
            servo.set("Max_Position_Limit", motor["range_max"])
            servo.store()
            self.servos[motor["id"]] = servo
        middle = (low + high) / 2
        self._plant: Plant = make_plant(plant, folder, middle + self._offsets(), seed)
        for servo, position in zip(
            self.servos.values(), self._plant.position - self._offsets(), strict=True
        ):
            servo.set("Goal_Position", round(position))
        self._last = self.now
        self._goal = middle
        self._goal_until = 0.0
        self._goals = self._hits = 0
        self._next_goal()
        self.faults = Faults(self, folder)
        self._socket = listen(folder)
        self._step()

    def serve(self) -> None:
        """Until stdin ends."""
        stdin = sys.stdin.fileno()
        while True:
            waiting: list[Any] = [stdin, self._socket]
            if self.line.plugged:
                waiting.append(self.line.master)
            due = self.line.next_due_s()
            wait_s = STEP_S if due is None else min(STEP_S, max(0.0, due - time.monotonic()))
            ready, _, _ = select.select(waiting, [], [], wait_s)
            self._step()
            if self.line.master in ready:
                self._receive()
            if self.line.plugged:
                self.line.send(self.trouble.babble(self.now), self.now)
                self.line.flush(self.now)
            if self._socket in ready:
                self._obey()
            if stdin in ready and not os.read(stdin, 4096):
                self.line.unplug()
                self._plant.close()
                if self._journal is not None:
                    self._journal.close()
                return

    def push(self, servo_id: int, to: int) -> None:
        """A hand moves a free joint."""
        index = [*self.servos].index(servo_id)
        self._plant.place(index, to + self._offsets()[index])

    def lay_cube(self, seed: int) -> None:
        """Put what lies on MuJoCo's table elsewhere.

        Raises:
            ConfigError: this plant has no table.
        """
        reset = getattr(self._plant, "reset", None)
        if reset is None:
            raise ConfigError("this plant has no cube", field="--robot.plant", value="first_order")
        reset(seed)

    def mend(self) -> None:
        """Everything that was broken works again."""
        self.trouble.clear()
        self.blocked.clear()
        self.line.plug()
        for servo in self.servos.values():
            servo.dead = servo.cut_off = servo.blind = False
            servo.glitches = 0
            servo.recover()
            servo.set("Present_Voltage", 74)
            servo.set("Present_Temperature", 31)

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data, sender = self._socket.recvfrom(1 << 16)
            try:
                answer = self.faults.carry_out(json.loads(data), self.now)
            except (ArmadaError, ValueError) as error:
                answer = {"error": str(error)}
            with contextlib.suppress(OSError):
                self._socket.sendto(json.dumps(answer).encode(), sender)

    # Physics -------------------------------------------------------------------------------

    def _offsets(self) -> NDArray[np.float64]:
        return np.array([s.get("Homing_Offset") for s in self.servos.values()], float)

    def _step(self) -> None:
        self.now = time.monotonic()
        self.faults.run_due(self.now)
        dt_s, self._last = self.now - self._last, self.now
        servos = [*self.servos.values()]
        offsets = self._offsets()
        wanted = np.array([s.get("Goal_Position") for s in servos], float)
        pulls = np.array([s.pulls for s in servos])
        free = np.array([i not in self.blocked for i in self.servos])
        goal = np.array([_inside(s, g) for s, g in zip(servos, wanted, strict=True)])
        strength = np.array([s.strength for s in servos])
        self._plant.step(goal + offsets, pulls, dt_s, free, strength)
        present = self._plant.position - offsets
        load, wants = self._plant.load, (goal - present) / self._plant.full_at
        for i, servo in enumerate(servos):
            if not servo.blind:
                servo.set("Present_Position", round(present[i]))
            speed = self._plant.velocity[i]
            servo.set("Present_Velocity", round(speed))
            servo.set("Present_Load", round(math.copysign(load[i] * 1000, wants[i])))
            servo.set("Moving", int(abs(speed) > 10))
            servo.protect(float(load[i]), float(wants[i]), dt_s)
        self.account.note(present, self._plant.velocity, wanted, pulls)
        if self.now >= self._goal_until:
            self._hits += bool(np.all(np.abs(present - self._goal) <= HIT_TICKS))
            self._goals += 1
            self._next_goal()
        self._world.write(World(present, self._goal, self._goals, self._hits, self.now))

    def _next_goal(self) -> None:
        low, high = joints.limits()
        share = self._random.uniform(-0.5, 0.5, len(low)) * joints.GOAL_SPAN
        self._goal = (low + high) / 2 + share * (high - low)
        self._goal_until = self.now + self._goal_period_s

    # The bus -------------------------------------------------------------------------------

    def _receive(self) -> None:
        self._buffer += self.line.receive()
        for sent in parse(self._buffer):
            data, self._deaf = self.trouble.instruct(sent, self.now)
            if self.now - self._heard_at > _SILENCE_S:
                self._heard.clear()
            self._heard += data
            self._heard_at = self.now
            for packet in parse(self._heard):
                for servo_id, answer in self._answers(packet):
                    self.line.send(*self.trouble.deliver(servo_id, answer, self.now))

    def _answers(self, packet: Packet) -> list[tuple[int, bytes]]:
        data = packet.parameters
        if packet.instruction == SYNC_WRITE:
            address, size = data[0], data[1]
            for i in range(2, len(data) - size, size + 1):
                self._write(data[i], address, data[i + 1 : i + 1 + size])
            if self._journal is not None and address == TABLE["Goal_Position"][0]:
                self._journal.note([s.get("Goal_Position") for s in self.servos.values()])
            return []
        if packet.instruction == SYNC_READ:
            return [(i, self._read(i, data[0], data[1])) for i in data[2:]]
        if packet.instruction == ACTION:
            for servo in filter(None, map(self._hearing, self.servos)):
                if servo.waiting is not None:
                    servo.write(*servo.waiting)
                    servo.waiting = None
            return []
        targets = [*self.servos] if packet.id == BROADCAST else [packet.id]
        return [(servo_id, self._single(servo_id, packet)) for servo_id in targets]

    def _single(self, servo_id: int, packet: Packet) -> bytes:
        servo = self._hearing(servo_id)
        if servo is None:
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
        return b"" if quiet else status(servo_id, int(servo.alarms))

    def _hearing(self, servo_id: int) -> Servo | None:
        """The servo of that id, if it is there and hears what is said now."""
        servo = self.servos.get(servo_id)
        return None if servo is None or servo.silent or servo_id in self._deaf else servo

    def _read(self, servo_id: int, address: int, size: int) -> bytes:
        servo = self._hearing(servo_id)
        if servo is None:
            return b""
        return status(servo_id, int(servo.alarms), servo.read(address, size))

    def _write(self, servo_id: int, address: int, data: bytes) -> None:
        servo = self._hearing(servo_id)
        if servo is not None:
            servo.write(address, data)


def _inside(servo: Servo, goal: float) -> float:
    """A servo keeps its goal within its own limits."""
    low, high = servo.get("Min_Position_Limit"), servo.get("Max_Position_Limit")
    return min(max(goal, low), high) if low < high else goal


def main() -> int:
    """Serve one arm."""
    parser = argparse.ArgumentParser(description="An emulated SO-101 on a pseudo-terminal.")
    parser.add_argument("--folder", type=Path, required=True, help="where port and world go")
    parser.add_argument("--seed", type=int, default=0, help="of the goals and troubles")
    parser.add_argument("--goal-period-s", type=float, default=4.0, help="time per goal, s")
    parser.add_argument("--plant", default="first_order", choices=("first_order", "mujoco"))
    parser.add_argument("--faults", type=Path, help="a script of faults")
    parser.add_argument("--journal", type=Path, help="a file to note every written goal in")
    args = parser.parse_args()
    args.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(args.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return IN_USE
    try:
        script = read_script(args.faults) if args.faults else []
        emulator = Emulator(
            args.folder,
            seed=args.seed,
            goal_period_s=args.goal_period_s,
            plant=args.plant,
            journal=GoalJournal(args.journal) if args.journal else None,
        )
        emulator.faults.schedule(script, emulator.now)
    except ArmadaError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 2
    sys.stdout.write(json.dumps({"port": str(args.folder / "port"), "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    # Real servos answer in time whatever the host does; control itself takes −10.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    emulator.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
