"""What happens to instructions and answers on the line: lost, late, damaged, drowned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from robots.emulator.packets import Packet

DAMAGE = ("checksum", "truncate", "prefix", "id", "length")
"""Ways to damage a packet: a flipped bit, a cut end, noise before it, another's id, a wrong
length."""

WHAT = ("answers", "instructions", "both")

DROWNED = 0.5
"""Share of the instructions that noise on the same wire spoils."""


@dataclass
class Rule:
    """One kind of trouble.

    Args:
        share: Probability per answer or instruction.
        ids: Whose; empty: everybody's, and an instruction that is lost is then lost for all.
        until_s: Clock at which it ends.
        count: How many it hits at most.
        delay_s: How late, for delays.
        how: Which damage, for corruption; empty: one at random.
        what: One of WHAT.
    """

    share: float = 1.0
    ids: tuple[int, ...] = ()
    until_s: float = math.inf
    count: float = math.inf
    delay_s: float = 0.0
    how: str = ""
    what: str = "answers"


@dataclass
class Trouble:
    """The rules in force. Draws from ``random``, so a seed repeats a run's troubles."""

    random: np.random.Generator
    drop: Rule | None = None
    delay: Rule | None = None
    corrupt: Rule | None = None
    noise: Rule = field(default_factory=lambda: Rule(until_s=-math.inf))

    def clear(self) -> None:
        self.drop = self.delay = self.corrupt = None
        self.noise.until_s = -math.inf

    def deliver(self, servo_id: int, answer: bytes, now_s: float) -> tuple[bytes, float]:
        """What arrives of ``answer`` (may be nothing), and when."""
        if answer and self._hits(self.drop, (servo_id,), now_s, "answers"):
            return b"", now_s
        if answer and (rule := self.corrupt) and self._hits(rule, (servo_id,), now_s, "answers"):
            answer = self._damage(answer, rule.how)
        if answer and (rule := self.delay) and self._hits(rule, (servo_id,), now_s, "answers"):
            return answer, now_s + rule.delay_s
        return answer, now_s

    def instruct(self, packet: Packet, now_s: float) -> tuple[bytes, tuple[int, ...]]:
        """What the servos hear of an instruction, and which of them don't."""
        data = packet.encode()
        deaf: tuple[int, ...] = ()
        if (rule := self.drop) and self._hits(rule, packet.targets, now_s, "instructions"):
            if not rule.ids:
                return b"", ()
            deaf = rule.ids
        if (rule := self.corrupt) and self._hits(rule, packet.targets, now_s, "instructions"):
            data = self._damage(data, rule.how)
        if self._hits(self.noise, packet.targets, now_s, "instructions"):
            data = self._damage(data, "checksum")
        return data, deaf

    def babble(self, now_s: float) -> bytes:
        """Noise that a broken servo or adapter sends unasked."""
        if now_s >= self.noise.until_s or self.noise.what == "instructions":
            return b""
        return self.random.integers(0, 256, 512, np.uint8).tobytes()

    def _hits(self, rule: Rule | None, ids: tuple[int, ...], now_s: float, way: str) -> bool:
        if rule is None or now_s >= rule.until_s or rule.count <= 0:
            return False
        if rule.what not in (way, "both"):
            return False
        if rule.ids and ids and not {*rule.ids} & {*ids}:
            return False
        if self.random.random() >= rule.share:
            return False
        rule.count -= 1
        return True

    def _damage(self, answer: bytes, how: str) -> bytes:
        data = bytearray(answer)
        match how or str(self.random.choice(DAMAGE)):
            case "checksum":
                data[int(self.random.integers(5, len(data)))] ^= 1 << int(self.random.integers(8))
            case "truncate":
                del data[int(self.random.integers(1, len(data))) :]
            case "prefix":
                data[:0] = self.random.integers(0, 256, 3, np.uint8).tobytes()
            case "id":
                data[2] ^= 1
            case "length":
                data[3] = int(self.random.integers(0, 256))
        return bytes(data)
