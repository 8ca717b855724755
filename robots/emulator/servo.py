"""One STS3215 as a register file, and the vendor's packets (protocol 0).

Packets: ``FF FF id length instruction parameters checksum``; a status packet has an error byte in
place of the instruction. Numbers are little-endian, signs are a bit of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robots.emulator.registers import MODEL_NUMBER, READ_ONLY, SIGN_BIT, TABLE

PING, READ, WRITE, REG_WRITE, ACTION, SYNC_READ, SYNC_WRITE = 1, 2, 3, 4, 5, 0x82, 0x83
BROADCAST = 0xFE


@dataclass(frozen=True)
class Packet:
    """An instruction as it came in."""

    id: int
    instruction: int
    parameters: bytes


def status(servo_id: int, error: int, parameters: bytes = b"") -> bytes:
    """A status packet."""
    body = bytes([servo_id, len(parameters) + 2, error]) + parameters
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


def parse(buffer: bytearray) -> Iterator[Packet]:
    """Take whole packets off the front of ``buffer``; bytes that are none are skipped, as a servo
    does that waits for the next header."""
    while True:
        start = buffer.find(b"\xff\xff")
        if start < 0:
            del buffer[: max(0, len(buffer) - 1)]
            return
        del buffer[:start]
        if len(buffer) < 6 or len(buffer) < buffer[3] + 4:
            return
        end = buffer[3] + 4
        body, checksum = bytes(buffer[2 : end - 1]), buffer[end - 1]
        if buffer[3] < 2 or ~sum(body) & 0xFF != checksum:
            del buffer[:1]
            continue
        del buffer[:end]
        yield Packet(body[0], body[2], body[3:])


class Servo:
    """The registers of one servo.

    Args:
        servo_id: Its id on the bus.
    """

    def __init__(self, servo_id: int) -> None:
        self.registers = bytearray(128)
        self.waiting: tuple[int, bytes] | None = None
        self.dead = False
        defaults = {
            "Firmware_Major_Version": 3,
            "Firmware_Minor_Version": 10,
            "Model_Number": MODEL_NUMBER,
            "ID": servo_id,
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
            "Torque_Limit": 1000,
            "Lock": 1,
            "Present_Voltage": 74,
            "Present_Temperature": 31,
        }
        for name, value in defaults.items():
            self.set(name, value)

    def get(self, name: str) -> int:
        """A register's value, signed where the servo's is."""
        address, size = TABLE[name]
        raw = int.from_bytes(self.registers[address : address + size], "little")
        bit = SIGN_BIT.get(name)
        if bit is None:
            return raw
        magnitude = raw & ((1 << bit) - 1)
        return -magnitude if raw >> bit & 1 else magnitude

    def set(self, name: str, value: int) -> None:
        """Set a register, whoever may write it."""
        address, size = TABLE[name]
        bit = SIGN_BIT.get(name)
        raw = value if bit is None or value >= 0 else (1 << bit) | -value
        self.registers[address : address + size] = raw.to_bytes(size, "little")

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.registers[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """A write from the bus: what is read-only stays as it is."""
        for i, byte in enumerate(data, start=address):
            if i < len(self.registers) and i not in READ_ONLY:
                self.registers[i] = byte
