"""When episodes begin and end: by schedule (time per episode, pause, how many) or on demand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
        episode_ticks: Length of an episode.
        reset_ticks: Pause after an episode, in which nothing is recorded.
    """

    episode_ticks: int
    reset_ticks: int
    phase: Phase = Phase.IDLE
    left: int = 0
    _until: int = 0

    def start(self, episodes: int) -> None:
        """Record ``episodes`` more, from the next tick on which the recorder is ready."""
        self.left += episodes
        if self.phase is Phase.IDLE and self.left:
            self.phase = Phase.WAITING

    def step(self, tick: int, *, recorder_ready: bool) -> str | None:
        """What happens at ``tick``: ``begin``, ``end``, ``done`` (all recorded) or ``None``."""
        if self.phase is Phase.WAITING and recorder_ready:
            self.phase, self._until = Phase.RECORDING, tick + self.episode_ticks
            return "begin"
        if self.phase is Phase.RECORDING and tick >= self._until:
            self.left -= 1
            self.phase, self._until = Phase.RESET, tick + self.reset_ticks
            return "end"
        if self.phase is Phase.RESET and tick >= self._until:
            if self.left:
                self.phase = Phase.WAITING
                return None
            self.phase = Phase.IDLE
            return "done"
        return None

    def abandon(self) -> None:
        """The recorder was lost: an episode that was open starts anew when it is back."""
        if self.phase is Phase.RECORDING:
            self.phase = Phase.WAITING

    def discard(self) -> bool:
        """Drop the open episode and record it again; whether there was one."""
        if self.phase is not Phase.RECORDING:
            return False
        self.phase = Phase.WAITING
        return True

    def stop(self) -> None:
        """No further episodes."""
        self.left = 0
        self.phase = Phase.IDLE
