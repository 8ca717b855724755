"""Probation: the ticks after a swap in which a release can still be rolled back by itself.

Two files, each with one writer. ``probation.json`` is the gate's: which model is on probation, put
there before that model becomes current, so that no crash in between lets it drive unwatched.
``probation_progress.json`` is the supervisor's: how far it has come and how it ended. So an agent
that restarts goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.policy import atomic
from agent.policy.store import ModelStore
from agent.releases.behaviour import Behaviour, Counts, excess, growth
from agent.releases.owner import ReleasesConfig

WINDOW_S = 10.0
RECENT_S = 60.0
"""Of the previous model's behaviour: what the release is compared with."""

_USUAL_TICKS = 60
"""Fewer say too little of what is usual."""

_LEAST_JOINS = 3
_LEAST_STEPS_TICKS = 30
"""Before steps are judged: the first ones come from wherever the previous model was going."""

STILL_S = 50.0
"""Of driving, before it is said that an arm stands still: longer than it may well pause, and short
enough for two of them in a probation of 120 s."""

_LEAST_MOVEMENT = 0.1
"""Degrees or percent a tick, of the previous model: less is no movement to miss."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A model is on probation.

    Args:
        digest: Of the model.
        version: Of the release; 0: not known.
        previous: Digest of what was current before.
        since: Seconds since the epoch, which tells one trial of a model from another.
    """

    digest: str
    version: int
    previous: str
    since: float

    def write(self, path: Path) -> None:
        atomic.write_text(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Order | None:
        """``None``: no model is, or a power cut emptied the file."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(kw_only=True)
class Progress:
    """How far a probation has come.

    Args:
        digest, since: Of its order.
        ticks: Driven so far.
        usual: How the previous model behaved; ``None``: it didn't drive.
        ended: ``kept``, ``rolled back`` or ``left``; empty: it goes on.
    """

    digest: str
    since: float
    ticks: int = 0
    usual: Behaviour | None = None
    ended: str = ""

    def write(self, path: Path) -> None:
        values = {**vars(self), "usual": self.usual and self.usual.to_json()}
        atomic.write_text(path, json.dumps(values))

    @classmethod
    def read(cls, path: Path, order: Order) -> Progress:
        """What is known of ``order``; a file that says nothing of it, or nothing, begins anew."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            usual = values.pop("usual")
            found = cls(**values, usual=usual and Behaviour.from_json(usual))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            found = None
        if found is None or (found.digest, found.since) != (order.digest, order.since):
            return cls(digest=order.digest, since=order.since)
        return found


@dataclass(frozen=True)
class Trip:
    """Why a release is rolled back, and the figures."""

    cause: str
    data: dict[str, Any]


class Recent:
    """The behaviour of the last minute, as long as one model drives.

    Args:
        seconds: How far back it looks.
    """

    def __init__(self, seconds: float = RECENT_S) -> None:
        self._seconds = seconds
        self._counts: deque[Counts] = deque()
        self._usual: tuple[str, Behaviour] | None = None

    def note(self, counts: Counts | None) -> None:
        """A report; ``None``: no policy drives."""
        if counts is None or (self._counts and not counts.goes_on_from(self._counts[-1])):
            self._counts.clear()
        if counts is None:
            return
        self._counts.append(counts)
        while self._counts[0].time < counts.time - self._seconds:
            self._counts.popleft()
        behaviour = self.behaviour()
        if behaviour is not None and behaviour.ticks >= _USUAL_TICKS:
            self._usual = (counts.digest, behaviour)

    def usual(self, digest: str) -> Behaviour | None:
        """How a model behaved when it last drove for a few seconds on end; ``None``: it didn't."""
        return self._usual[1] if self._usual and self._usual[0] == digest else None

    def behaviour(self, joined: Counts | None = None) -> Behaviour | None:
        """``None``: nothing drove for long enough to be measured."""
        if len(self._counts) < 2:
            return None
        first, last = self._counts[0], self._counts[-1]
        later = joined is not None and joined.pid == last.pid and joined.time > first.time
        return Behaviour.between(first, last, joined=joined if later else None)


class Watch:
    """Judges a release by the reports that come while it drives.

    Args:
        config: The owner's limits.
        usual: How the previous model behaved; ``None``: by the limits alone, steps not at all.
        ticks: Driven on probation before this agent started.
    """

    def __init__(self, config: ReleasesConfig, usual: Behaviour | None, ticks: int = 0) -> None:
        self._config = config
        self._usual = usual
        self._recent = Recent(WINDOW_S)
        self._last: Counts | None = None
        self._first: Counts | None = None
        self._joined: Counts | None = None
        self._moved = _Moved()
        self.ticks = ticks

    def note(self, counts: Counts | None) -> Trip | None:
        """A report of the release's driving, or ``None`` when it doesn't drive; what is wrong with
        it, if something is."""
        self._recent.note(counts)
        last, self._last = self._last, counts
        if counts is None or last is None or not counts.goes_on_from(last):
            self._first, self._joined = counts, None
            return None
        self.ticks += counts.ticks - last.ticks
        if self._joined is None and counts.seams.count > last.seams.count:
            # The first seam is the one between the two models.
            self._joined = counts
        behaviour = self._recent.behaviour(self._joined)
        trip = None if behaviour is None else self._judge(behaviour, counts)
        return trip or self._still(last, counts)

    def _judge(self, now: Behaviour, counts: Counts) -> Trip | None:
        config, usual = self._config, self._usual or Behaviour()
        ticks, usual_ticks = now.ticks + now.starved, usual.ticks + usual.starved
        data = {"window": now.to_json(), "usual": self._usual and usual.to_json()}
        trips = excess(now.trips, ticks, usual.trips, usual_ticks)
        if trips > config.guard_ticks:
            return Trip(f"the guard changed its actions {now.trips} times in {ticks} ticks", data)
        starved = excess(now.starved, ticks, usual.starved, usual_ticks)
        if starved > config.starved_ticks:
            return Trip(f"{now.starved} of {ticks} ticks had no planned action", data)
        assert self._first is not None
        if not config.jump_ratio or counts.ticks - self._first.ticks < _LEAST_STEPS_TICKS:
            return None
        inside = growth(now.within, usual.within)
        if inside > config.jump_ratio:
            return Trip(f"its actions take steps {inside:.1f} times as large as before", data)
        joins = growth(now.seams, usual.seams)
        if self._joined is not None and now.joins >= _LEAST_JOINS and joins > config.jump_ratio:
            return Trip(f"where chunks join it jumps {joins:.1f} times as far as before", data)
        return None

    def _still(self, last: Counts, counts: Counts) -> Trip | None:
        """Whether the arm stands still, that moved under the previous model."""
        assert self._first is not None
        if last.ticks - self._first.ticks < _LEAST_STEPS_TICKS:
            return None
        self._moved.add(last, counts)
        if self._moved.seconds < STILL_S:
            return None
        moved, self._moved = self._moved, _Moved()
        usual, share = self._usual or Behaviour(), self._config.still_share
        comparable = moved.steps and usual.movement >= _LEAST_MOVEMENT
        # A few lively seconds of the previous model say nothing of how still it may stand at times.
        if not comparable or 2 * usual.ticks < moved.steps:
            return None
        now = moved.rms
        if now >= share * usual.movement:
            return None
        data = {"movement": round(now, 4), "usual": usual.to_json()}
        return Trip(
            f"it hardly moves the arm: in {moved.seconds:.0f} s of driving its actions took steps "
            f"{now / usual.movement:.1%} as large as before",
            data,
        )


@dataclass
class _Moved:
    """Driving, with whatever came in between left out."""

    seconds: float = 0.0
    steps: int = 0
    squares: float = 0.0

    def add(self, first: Counts, last: Counts) -> None:
        steps = last.within.count - first.within.count
        self.seconds += last.time - first.time
        self.steps += steps
        self.squares += steps * Behaviour.between(first, last).movement ** 2

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.steps)


def was_rolled_back(store: ModelStore, digest: str) -> bool:
    """Whether a model was taken and given up again since: it isn't taken anew unless asked for."""
    for entry in reversed(store.history()):
        if entry["event"] == "rollback" and entry.get("before") == digest:
            return True
        if entry["event"] in ("promote", "rollback") and entry["digest"] == digest:
            return False
    return False
