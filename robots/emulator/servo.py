"""One STS3215: its registers, what a power cut does to them, and how it protects itself."""

from __future__ import annotations

import math
from enum import IntFlag

from robots.emulator.registers import EPROM_END, MODEL_NUMBER, READ_ONLY, SIGN_BIT, TABLE

OVERLOAD_S = 0.5
"""A load above Overload_Torque for this long trips the protection (Protection_Time's unit and
default vary between firmwares; half a second is in their middle)."""

FULL_TORQUE = 1000
"""Torque_Limit and its like are in tenths of a per cent."""


class Alarm(IntFlag):
    """Bits of the Status register and of every answer's error byte."""

    VOLTAGE = 1
    SENSOR = 2
    TEMPERATURE = 4
    CURRENT = 8
    OVERLOAD = 32


class Servo:
    """The registers of one servo.

    Args:
        servo_id: Its id on the bus.
    """

    def __init__(self, servo_id: int) -> None:
        self.registers = bytearray(128)
        self.waiting: tuple[int, bytes] | None = None
        self.dead = False
        self.cut_off = False
        self.blind = False
        self.glitches = 0
        self.glitch_ticks = 0
        self._overload_s = 0.0
        self._gave_way = 0.0
        self.set("ID", servo_id)
        for name, value in _FACTORY.items():
            self.set(name, value)
        self._eprom = bytes(self.registers[:EPROM_END])
        self.power_cycle()

    @property
    def alarms(self) -> Alarm:
        return Alarm(self.get("Status"))

    @property
    def pulls(self) -> bool:
        """Whether it holds its joint."""
        return bool(self.get("Torque_Enable")) and not self.dead

    @property
    def silent(self) -> bool:
        """Whether it neither hears nor answers."""
        return self.dead or self.cut_off

    @property
    def strength(self) -> float:
        """Share of its torque that it may use: Torque_Limit (LeRobot halves the gripper's), after
        an overload Protective_Torque."""
        limit = min(self.get("Torque_Limit"), self.get("Max_Torque_Limit")) / FULL_TORQUE
        return min(limit, self.get("Protective_Torque") / 100) if self._gave_way else limit

    def power_cycle(self) -> None:
        """Power was away: torque is off, what was not stored is forgotten, the goal is where the
        joint is."""
        position = self.registers[slice(*_place("Present_Position"))]
        self.registers[:EPROM_END] = self._eprom
        self.registers[slice(*_place("Goal_Position"))] = position
        for name, value in _AT_POWER_UP.items():
            self.set(name, value)
        self.set("Torque_Limit", self.get("Max_Torque_Limit"))
        self._overload_s = self._gave_way = 0.0

    def recover(self) -> None:
        """What it pressed on is gone, and it knows."""
        self._overload_s = self._gave_way = 0.0

    def protect(self, load: float, wants: float, dt_s: float) -> None:
        """Watch over itself. Overloaded for long, it has Protective_Torque until it is told
        something else: a goal within reach or on the other side, or torque off and on.

        Args:
            load: Share of its torque that it uses now, 0..1.
            wants: Share that its goal would take, with a sign: the direction.
            dt_s: Since the last look.
        """
        alarms = Alarm(0)
        if (
            not self.get("Min_Voltage_Limit")
            <= self.get("Present_Voltage")
            <= self.get("Max_Voltage_Limit")
        ):
            alarms |= Alarm.VOLTAGE
        if self.blind:
            alarms |= Alarm.SENSOR
        if self.get("Present_Temperature") >= self.get("Max_Temperature_Limit"):
            alarms |= Alarm.TEMPERATURE
            # Too hot: it lets go by itself, whatever anybody wants.
            self.set("Torque_Enable", 0)
        overload = self.get("Overload_Torque") / 100
        self._overload_s = self._overload_s + dt_s if load >= overload and self.pulls else 0.0
        if self._overload_s >= OVERLOAD_S:
            self._gave_way = math.copysign(1.0, wants)
        if not self.pulls or wants * self._gave_way < overload:
            self._gave_way = 0.0
        if self._gave_way:
            alarms |= Alarm.OVERLOAD
        self.set("Status", int(alarms))

    def get(self, name: str) -> int:
        """A register's value, signed where the servo's is."""
        raw = int.from_bytes(self.registers[slice(*_place(name))], "little")
        bit = SIGN_BIT.get(name)
        if bit is None:
            return raw
        magnitude = raw & ((1 << bit) - 1)
        return -magnitude if raw >> bit & 1 else magnitude

    def set(self, name: str, value: int) -> None:
        """Set a register, whoever may write it."""
        _, size = TABLE[name]
        bit = SIGN_BIT.get(name)
        raw = value if bit is None or value >= 0 else (1 << bit) | -value
        self.registers[slice(*_place(name))] = raw.to_bytes(size, "little")

    def store(self) -> None:
        """Keep the present EPROM registers over power cuts."""
        self._eprom = bytes(self.registers[:EPROM_END])

    def read(self, address: int, size: int) -> bytes:
        data = bytearray(self.registers[address : address + size])
        if self.glitches and address == TABLE["Present_Position"][0] and size == 2:
            self.glitches -= 1
            data[:] = ((int.from_bytes(data, "little") + self.glitch_ticks) % 4096).to_bytes(
                2, "little"
            )
        return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        """A write from the bus: what is read-only stays as it is; what is written to the EPROM
        while it is locked works until the power is cut."""
        for i, byte in enumerate(data, start=address):
            if i < len(self.registers) and i not in READ_ONLY:
                self.registers[i] = byte
        if address < EPROM_END and not self.get("Lock"):
            self.store()


def _place(name: str) -> tuple[int, int]:
    address, size = TABLE[name]
    return address, address + size


_FACTORY = {
    "Firmware_Major_Version": 3,
    "Firmware_Minor_Version": 10,
    "Model_Number": MODEL_NUMBER,
    "Return_Delay_Time": 250,
    "Response_Status_Level": 1,
    "Max_Position_Limit": 4095,
    "Max_Temperature_Limit": 70,
    "Max_Voltage_Limit": 80,
    "Min_Voltage_Limit": 40,
    "Max_Torque_Limit": 1000,
    "Phase": 12,
    "P_Coefficient": 32,
    "D_Coefficient": 32,
    "Protection_Current": 500,
    "Angular_Resolution": 1,
    "Protective_Torque": 20,
    "Overload_Torque": 80,
    "Present_Voltage": 74,
    "Present_Temperature": 31,
}

_AT_POWER_UP = {"Torque_Enable": 0, "Acceleration": 0, "Lock": 1, "Status": 0}
