"""Whether the arm works: asked of the agent's control process."""

from __future__ import annotations

import time
from typing import Any

from agent.commands.stop import order
from agent.paths import StateDir
from robots.errors import LinkError

_LOOK_AGAIN_S = 0.5
_ANSWER_S = 2.0
_MOVES = ("parking", "yielding")
"""States of an arm that moves without being driven."""


class ArmWatch:
    """Looks now and then; a tick that was driven since the last look is work.

    Args:
        state: The agent's state folder.
    """

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._driven: tuple[int, int] | None = None
        self._worked_at = float("-inf")
        self.docked = True
        """Whether it was in its pose at start or rested at the last look; one that no agent holds
        is."""

    def idle_s(self) -> float:
        """Look, and say for how long the arm has been idle, s: without end where no agent runs.
        The first look takes half a second longer, and what was before it isn't known."""
        first = self._driven is None
        status = self._look()
        if status is not None and first:
            time.sleep(_LOOK_AGAIN_S)
            status = self._look()
        return time.monotonic() - self._worked_at if status is not None else float("inf")

    def _look(self) -> dict[str, Any] | None:
        try:
            status: dict[str, Any] = order(self._state, "status", {}, timeout_s=_ANSWER_S)
        except LinkError:
            # No agent, or one whose control process is being started again.
            self._driven, self._worked_at, self.docked = None, float("-inf"), True
            return None
        # The count begins anew with another process.
        driven = (int(status["pid"]), int(status["driven_ticks"]))
        if status["state"] in _MOVES or (self._driven is not None and driven != self._driven):
            self._worked_at = time.monotonic()
        self._driven = driven
        self.docked = bool(status["docked"])
        return status
