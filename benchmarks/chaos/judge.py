"""What must hold of every tick, whatever was killed or swapped; what does not is a violation.

*Lost*: a tick that control did not have. *Stale*: an action of a chunk that was asked for before
the last reset, or that does not answer for this tick, or that is older than what was acted on
before. *Mixed*: one request answered by two models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.agent import Traced
from benchmarks.inference.job import FPS

COLUMNS = (f"ticks at {FPS} Hz", "late", "skipped", "starved", "violations")
"""Of a table with ``Verdict.cells``."""


@dataclass
class Verdict:
    """Of a run.

    Args:
        ticks: That were seen.
        late: Of these, began more than half a period after their due time.
        skipped: That control slept through, beside those seen: nothing at all was done for them.
        starved: Had no planned action.
        models: That were acted on, by digest, in ticks.
        violations: In words.
    """

    ticks: int = 0
    late: int = 0
    skipped: int = 0
    starved: int = 0
    models: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def late_share(self) -> float:
        return self.late / max(1, self.ticks)

    def cells(self) -> list[str]:
        """Of a line of a table; see ``COLUMNS``."""
        return [
            str(self.ticks),
            f"{self.late} ({100 * self.late_share:.2f} %)",
            str(self.skipped),
            str(self.starved),
            str(len(self.violations)),
        ]


def judge(ticks: Sequence[Traced], chunk: int) -> Verdict:
    """Look at every tick.

    Args:
        ticks: In order.
        chunk: Actions in a chunk.
    """
    verdict = Verdict(ticks=len(ticks))
    answered: dict[int, tuple[str, int]] = {}
    before: Traced | None = None
    last: dict[str, Any] | None = None
    for tick in ticks:
        verdict.late += tick.lateness_s > 0.5 / FPS
        verdict.skipped += tick.skipped
        if before is not None and tick.number != before.number + 1 + tick.skipped:
            verdict.violations.append(f"tick {tick.number} after {before.number}: lost")
        verdict.violations += [f"tick {tick.number}: {what}" for what in _stale(tick, chunk)]
        origin = tick.origin
        if origin is None:
            verdict.starved += 1
        else:
            verdict.models[origin["digest"]] += 1
            model = origin["digest"], origin["generation"]
            if answered.setdefault(origin["request"], model) != model:
                verdict.violations.append(f"tick {tick.number}: mixed, {model}")
            if last is not None and _older(origin, last):
                verdict.violations.append(f"tick {tick.number}: older than the one before")
            last = origin
        before = tick
    return verdict


def _older(origin: dict[str, Any], last: dict[str, Any]) -> bool:
    return bool(last["epoch"] == origin["epoch"] and origin["observed"] < last["observed"])


def _stale(tick: Traced, chunk: int) -> list[str]:
    origin = tick.origin
    if origin is None:
        return []
    found = []
    if origin["epoch"] != tick.epoch:
        found.append(f"stale, of epoch {origin['epoch']}, not {tick.epoch}")
    if not origin["observed"] <= origin["first"] <= tick.number < origin["first"] + chunk:
        found.append(f"stale, of tick {origin['observed']}, a chunk from {origin['first']} on")
    return found
