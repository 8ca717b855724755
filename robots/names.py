"""Names of robots and fleets: they become parts of MQTT topics, folders and Flower's node names."""

from __future__ import annotations

import re

from robots.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(flag: str, value: str) -> None:
    """Raise unless ``value`` can be a name.

    Raises:
        ConfigError: names the flag.
    """
    if not _NAME.fullmatch(value):
        raise ConfigError(
            "must be 1–63 letters, digits, dots, dashes or underscores", field=flag, value=value
        )
