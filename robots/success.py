"""Whether a robot's task is done: a method that a robot class may offer beside LeRobot's."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ChecksSuccess(Protocol):
    """A robot that can tell, as simulations do; of a real arm the operator tells."""

    def success(self, observation: dict[str, Any]) -> bool | None:
        """Whether the task is done.

        Args:
            observation: The robot's last, as LeRobot's ``get_observation`` returned it.

        Returns:
            ``None`` when it can't be told now. MUST take microseconds: it is asked once a tick
            while an episode is recorded; MUST NOT raise.
        """
