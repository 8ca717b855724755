"""What happens to an answer between the servo and the driver: lost, late, damaged, drowned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

DAMAGE = ("checksum", "truncate", "prefix", "id", "length")
"""Ways to damage a packet: a flipped bit, a cut end, noise before it, another's id, a wrong
length."""


@dataclass
class Rule:
    """One kind of trouble.

    Args:
        share: Probability per answer.
        ids: Whose answers; empty: everybody's.
        until_s: Clock at which it ends.
        count: How many answers it hits at most.
        delay_s: How late, for delays.
        how: Which damage, for corruption; empty: one at random.
    """

    share: float = 1.0
    ids: tuple[int, ...] = ()
    until_s: float = math.inf
    count: float = math.inf
    delay_s: float = 0.0
    how: str = ""


@dataclass
class Trouble:
    """The rules in force. Draws from ``random``, so a seed repeats a run's troubles."""

    random: np.random.Generator
    drop: Rule | None = None
    delay: Rule | None = None
    corrupt: Rule | None = None
    babble_until_s: float = field(default=-math.inf)

    def clear(self) -> None:
        self.drop = self.delay = self.corrupt = None
        self.babble_until_s = -math.inf

    def deliver(self, servo_id: int, answer: bytes, now_s: float) -> tuple[bytes, float]:
        """What arrives of ``answer`` (may be nothing), and when."""
        if answer and self._hits(self.drop, servo_id, now_s):
            return b"", now_s
        if answer and (rule := self.corrupt) and self._hits(rule, servo_id, now_s):
            answer = self._damage(answer, rule.how)
        if answer and (rule := self.delay) and self._hits(rule, servo_id, now_s):
            return answer, now_s + rule.delay_s
        return answer, now_s

    def babble(self, now_s: float) -> bytes:
        """Noise that a broken servo or adapter sends unasked."""
        if now_s >= self.babble_until_s:
            return b""
        return self.random.integers(0, 256, 512, np.uint8).tobytes()

    def _hits(self, rule: Rule | None, servo_id: int, now_s: float) -> bool:
        if rule is None or now_s >= rule.until_s or rule.count <= 0:
            return False
        if rule.ids and servo_id not in rule.ids:
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
