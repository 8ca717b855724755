"""When episodes begin and end (``--dataset.trigger``). Pure: no clock, no arm, no recorder.

==========  ========================================================================================
schedule    so many, each of the same length, a pause after each
operator    one at each order, until the next
success     as schedule, but each ends when the task is done, or is marked by the operator
always      one after another without a pause
correction  one each time a person takes the arm from the policy
==========  ========================================================================================

No episode gets longer than ``episode_ticks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Trigger(StrEnum):
    """What begins and ends episodes."""

    SCHEDULE = "schedule"
    OPERATOR = "operator"
    SUCCESS = "success"
    ALWAYS = "always"
    CORRECTION = "correction"

    @property
    def counts(self) -> bool:
        """Whether a number of episodes is asked for, so that one that is spoiled is recorded again;
        else it is kept as it is, and marked."""
        return self in (Trigger.SCHEDULE, Trigger.SUCCESS)

    @property
    def looks_back(self) -> bool:
        """Whether its episodes begin with the seconds before: what led to a correction, or had the
        operator press a key."""
        return self in (Trigger.OPERATOR, Trigger.CORRECTION)


class Phase(Enum):
    """Where the schedule is."""

    IDLE = "idle"
    WAITING = "waiting"
    RECORDING = "recording"
    RESET = "reset"


@dataclass
class EpisodeSchedule:
    """Counts ticks, not seconds: it is asked once a tick and says what changes.

    Args:
        episode_ticks: Longest length of an episode.
        reset_ticks: Pause after an episode that is one of a number, in which nothing is recorded.
        trigger: What begins and ends them.
    """

    episode_ticks: int
    reset_ticks: int
    trigger: Trigger = Trigger.SCHEDULE
    phase: Phase = Phase.IDLE
    left: int = 0
    on: bool = True
    _until: int = 0
    _tick: int = 0

    def start(self, episodes: int = 1) -> None:
        """Record ``episodes`` more, or one by the operator's order, from the next tick on which
        everything is ready; ``always`` and ``correction`` go on after a stop."""
        self.on = True
        if self.trigger.counts:
            self.left += episodes
        if self.phase is Phase.IDLE and (self.left or self.trigger is Trigger.OPERATOR):
            self.phase = Phase.WAITING

    def step(
        self, tick: int, *, ready: bool, over: bool = False, correcting: bool = False
    ) -> tuple[str, ...]:
        """What happens at ``tick``, in order: ``begin``, ``end``, ``done`` (all recorded).

        Args:
            tick: Now.
            ready: Whether an episode can begin: recorder, arm and cameras.
            over: Whether the task is done, or the operator said that it is over.
            correcting: Whether a person drives in the policy's place.
        """
        self._tick = tick
        if self.phase is Phase.IDLE and self.on and self._wanted(correcting):
            self.phase = Phase.WAITING
        if self.phase is Phase.WAITING:
            if self.trigger is Trigger.CORRECTION and not correcting:
                self.phase = Phase.IDLE
            elif ready:
                return self._begin()
        elif self.phase is Phase.RECORDING:
            corrected = self.trigger is Trigger.CORRECTION and not correcting
            if tick >= self._until or over or corrected:
                return self._end(ready, correcting)
        elif self.phase is Phase.RESET and tick >= self._until:
            self.phase = Phase.WAITING if self.left else Phase.IDLE
            return () if self.left else ("done",)
        return ()

    def finish(self) -> None:
        """The open episode ends at the next tick, or the pause does."""
        self._until = 0

    def abandon(self) -> None:
        """The open episode is lost or spoiled: it is begun anew when everything is ready."""
        if self.phase is Phase.RECORDING:
            self.phase = Phase.WAITING

    def cut(self) -> None:
        """The open episode ended before its time, and is kept."""
        if self.phase is Phase.RECORDING:
            self.phase = Phase.IDLE

    def discard(self) -> bool:
        """Drop the open episode; whether there was one. One of a number is recorded again, after
        the pause."""
        if self.phase is not Phase.RECORDING:
            return False
        self.phase, self._until = Phase.IDLE, self._tick + self.reset_ticks
        if self.trigger.counts:
            self.phase = Phase.RESET
        return True

    def again(self) -> None:
        """In the pause after an episode that was one of a number: it is recorded again."""
        self.left += 1

    def stop(self) -> None:
        """No further episodes."""
        self.left = 0
        self.on = False
        self.phase = Phase.IDLE

    def _wanted(self, correcting: bool) -> bool:
        always = self.trigger is Trigger.ALWAYS
        return always or (self.trigger is Trigger.CORRECTION and correcting)

    def _begin(self) -> tuple[str, ...]:
        self.phase, self._until = Phase.RECORDING, self._tick + self.episode_ticks
        return ("begin",)

    def _end(self, ready: bool, correcting: bool) -> tuple[str, ...]:
        if self.trigger.counts:
            self.left -= 1
            self.phase, self._until = Phase.RESET, self._tick + self.reset_ticks
        elif self._wanted(correcting) and ready:
            # Without a tick between them.
            return ("end", *self._begin())
        else:
            self.phase = Phase.IDLE
        return ("end",)
