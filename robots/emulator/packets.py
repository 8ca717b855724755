"""The vendor's packets (protocol 0), as a servo sees them.

Packets: ``FF FF id length instruction parameters checksum``; a status packet has an error byte in
place of the instruction. Numbers are little-endian, signs are a bit of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PING, READ, WRITE, REG_WRITE, ACTION, SYNC_READ, SYNC_WRITE = 1, 2, 3, 4, 5, 0x82, 0x83
BROADCAST = 0xFE


@dataclass(frozen=True)
class Packet:
    """An instruction as it came in."""

    id: int
    instruction: int
    parameters: bytes

    def encode(self) -> bytes:
        """As it was on the line."""
        body = bytes([self.id, len(self.parameters) + 2, self.instruction]) + self.parameters
        return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])

    @property
    def targets(self) -> tuple[int, ...]:
        """The servos that it names; empty: all of them."""
        match self.instruction:
            case 0x82:  # SYNC_READ: address, size, ids
                return tuple(self.parameters[2:])
            case 0x83:  # SYNC_WRITE: address, size, then id and data of each
                return tuple(self.parameters[2 :: self.parameters[1] + 1])
        return () if self.id == BROADCAST else (self.id,)


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
