"""What is known of the episode that is being recorded: success, interventions, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

_MOST_REASONS = 8
"""That are told; more of them say nothing more."""


class EpisodeMarks:
    """Collects over one episode.

    Args:
        trigger: What began it.
    """

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        self.frames = 0
        self._said: bool | None = None
        self._checked: bool | None = None
        self._undone = False
        self._done = False
        self._corrected = 0
        self._doubtful = 0
        self._starved = 0
        self._rules: Counter[str] = Counter()
        self._faults: dict[str, None] = {}

    # What happens --------------------------------------------------------------------------

    def say(self, *, success: bool) -> None:
        """The operator's word; it counts for more than the check's."""
        self._said = success

    def check(self, success: bool | None) -> None:
        """What the task's check says in this tick; ``None``: there is none."""
        self._checked = success
        self._undone |= success is False
        # What was done when the episode began isn't done by it.
        self._done |= success is True and self._undone

    def fault(self, reason: str) -> None:
        """Something is wrong with the whole episode."""
        self._faults[reason] = None

    def note(
        self, *, intervention: bool, fault: bool, starved: bool, rules: Iterable[str] = ()
    ) -> None:
        """One frame, and the guard's rules that changed its action."""
        self.frames += 1
        self._corrected += intervention
        self._doubtful += fault
        self._starved += starved
        self._rules.update(rules)

    # What it comes to ----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the task is done, or the operator said what became of it."""
        return self._said is not None or self._done

    @property
    def success(self) -> bool | None:
        """``None``: nobody knows."""
        if self._said is not None:
            return self._said
        return True if self._done else self._checked

    def to_json(self) -> dict[str, Any]:
        """For ``RecorderRole.end_episode``."""
        return {
            "success": self.success,
            "intervention": self._corrected > 0,
            "fault": "; ".join([*self._faults][:_MOST_REASONS]),
            "trigger": self.trigger,
            "intervention_frames": self._corrected,
            "fault_frames": self._doubtful,
            "starved_frames": self._starved,
            "guard": dict(self._rules),
        }
