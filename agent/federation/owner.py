"""What a robot's owner allows its fleet: when it trains, and on what condition.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import dataclasses
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

from robots.errors import ConfigError

PAUSE, CONTINUE, DECLINE = "pause", "continue", "decline"
WHILE_DRIVING = (PAUSE, CONTINUE, DECLINE)

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(kw_only=True)
class TrainingConfig:
    """When this robot trains for its fleet.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    # Decline everything that the fleet's server asks for.
    opt_out: bool = False
    # While the arm is driven: pause, continue, or decline what is asked for then (and pause).
    while_driving: str = PAUSE
    # Seconds without a driven tick after which the arm counts as idle.
    idle_s: float = 10.0
    # Only while the arm is in its pose at start, or rests with its torque off.
    only_docked: bool = False
    # Times of day, such as ["22:00-06:00", "12:00-13:00"]; empty: any.
    windows: list[str] = field(default_factory=list)
    # Their time zone (IANA, such as Europe/Berlin); empty: this host's.
    timezone: str = ""
    # Hottest that the host's processor may be, in °C; 0: any. Hosts without a sensor: any.
    max_temperature: float = 85.0
    # Least free space on the disk of the state folder, in GB.
    min_free_gb: float = 2.0
    # Fewest episodes that were not trained on before; the server may ask for more.
    min_new_episodes: int = 0
    # Also train and measure on episodes that the quality gate rejected or has yet to judge.
    unclean: bool = False

    def __post_init__(self) -> None:
        if self.while_driving not in WHILE_DRIVING:
            raise ConfigError(
                "isn't known",
                field="--training.while_driving",
                value=self.while_driving,
                remedy=f"One of: {', '.join(WHILE_DRIVING)}",
            )
        for name, high in (
            ("idle_s", 86_400),
            ("max_temperature", 150),
            ("min_free_gb", 1e6),
            ("min_new_episodes", 1e6),
        ):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise ConfigError(
                    f"must be from 0 to {high:g}", field=f"--training.{name}", value=value
                )
        for window in self.windows:
            if not _WINDOW.fullmatch(window):
                raise ConfigError(
                    "isn't a time of day",
                    field="--training.windows",
                    value=window,
                    remedy='From and to in hours and minutes: ["22:00-06:00"]',
                )
        self.now()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """From the ``training`` part of an agent's configuration file.

        Raises:
            ConfigError: a field is unknown, or a value beyond its bounds.
        """
        unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError("is unknown", field=f"--training.{unknown[0]}")
        return cls(**values)

    def now(self) -> datetime:
        """Now, in the time zone of the windows.

        Raises:
            ConfigError: there is no such time zone.
        """
        if not self.timezone:
            return datetime.now().astimezone()
        try:
            return datetime.now(zoneinfo.ZoneInfo(self.timezone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(
                "isn't a time zone",
                field="--training.timezone",
                value=self.timezone,
                remedy="Name one as Europe/Berlin",
            ) from error

    def in_window(self, now: datetime) -> bool:
        """Whether ``now`` lies in one of the windows; one that ends before it begins goes over
        midnight."""
        at = now.time()
        return not self.windows or any(_within(window, at) for window in self.windows)


def _within(window: str, at: time) -> bool:
    begin, end = (time.fromisoformat(part) for part in window.split("-"))
    return begin <= at < end if begin < end else at >= begin or at < end
