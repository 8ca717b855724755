"""``newest``: the chunk of the newest observation wins.

The fastest to answer what the camera sees, at the price of a step wherever two chunks disagree.
``rtc`` merges in the same way: there the chunk itself was computed to continue the plan
(``agent/policy/guidance``), and averaging would undo it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.control.timeline import Planned


class Newest:
    """Takes the last.

    Args:
        name: Of the strategy, ``newest`` or ``rtc``.
    """

    def __init__(self, name: str = "newest") -> None:
        self.name = name

    def __call__(self, tick: int, plans: Sequence[Planned]) -> Planned:
        return plans[-1]
