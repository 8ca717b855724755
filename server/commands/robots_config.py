"""Flags of ``armada robots``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from server.commands.config import RoundListConfig


@dataclass(kw_only=True)
class RobotListConfig(RoundListConfig):
    """Which server to ask."""


@dataclass(kw_only=True)
class DecisionsConfig(RoundListConfig):
    """Whose decisions to show."""

    # Of one robot; empty: of all.
    robot: str = ""
    # On one release; 0: on all.
    version: int = 0
