"""When a cron expression is due next, in a time zone.

By ``cronsim``, which does as Debian's cron when clocks change: a time of day that is skipped is due
right after the jump, one that happens twice is due the first time, and expressions with a ``*`` for
hour or minute go by elapsed time. (Weighed: ``APScheduler``, which wants to run jobs itself and
keeps them as pickles; ``croniter``, which is larger and promises nothing about changing clocks.)
"""

from __future__ import annotations

import zoneinfo
from datetime import datetime

from cronsim import CronSim, CronSimError

from robots.errors import ConfigError

_FIELDS = 5


def next_due(cron: str, timezone: str, after: float) -> float:
    """The first time after ``after`` at which ``cron`` is due.

    Args:
        cron: Five fields: minute, hour, day of month, month, day of week.
        timezone: IANA name; empty: UTC.
        after: Seconds since the epoch.

    Raises:
        ConfigError: it is no such expression, is never due, or there is no such time zone.
    """
    zone = zone_of(timezone)
    try:
        if len(cron.split()) != _FIELDS:
            raise CronSimError("it hasn't five fields")
        return next(CronSim(cron, datetime.fromtimestamp(after, zone))).timestamp()
    except CronSimError as error:
        raise ConfigError(
            f"isn't a cron expression: {error}",
            field="--cron",
            value=cron,
            remedy='Minute, hour, day, month, weekday, such as "0 3 * * MON-FRI"',
        ) from error
    except StopIteration:
        raise ConfigError("is never due", field="--cron", value=cron) from None


def zone_of(timezone: str) -> zoneinfo.ZoneInfo:
    """Raises: ConfigError if there is no such time zone."""
    try:
        return zoneinfo.ZoneInfo(timezone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            "isn't a time zone",
            field="--timezone",
            value=timezone,
            remedy="Name one as Europe/Berlin",
        ) from error


def shown(time: float, timezone: str) -> str:
    """A time as people in that zone read it."""
    return datetime.fromtimestamp(time, zone_of(timezone)).strftime("%a %Y-%m-%d %H:%M %Z")
