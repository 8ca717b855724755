"""Flags of ``armada schedule``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from robots.errors import ConfigError
from server.commands.config import RoundListConfig, RoundStartConfig


@dataclass(kw_only=True)
class ScheduleListConfig(RoundListConfig):
    """Which server to ask."""


@dataclass(kw_only=True)
class ScheduleNameConfig(RoundListConfig):
    """Which schedule."""

    # Its name.
    name: str = ""
    # Who says so; empty: the user's name.
    by: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.name)


@dataclass(kw_only=True)
class ScheduleSetConfig(RoundStartConfig):
    """When to start a round, and which; the flags of `armada round start` say what."""

    # Its name; one of that name is changed.
    name: str = ""
    # When: minute, hour, day of month, month, day of week, such as "0 3 * * MON-FRI" …
    cron: str = ""
    # … in this time zone (IANA, such as Europe/Berlin); empty: UTC.
    timezone: str = ""
    # Or as soon as so many robots …
    robots: int = 0
    # … have so many episodes each that they have not trained on.
    new_episodes: int = 0
    # A slot that was missed, or that found a round running: skip it, or run it once, later.
    missed: str = "skip"
    # Keep it, and start nothing.
    paused: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.name)


def _check(name: str) -> None:
    if not name:
        raise ConfigError(
            "needs a name", field="schedule", remedy="`armada schedule set NAME --cron=…`"
        )
