"""A file of the server's that several commands change: one at a time, and a refusal in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from agent.policy.atomic import alone
from robots.errors import ConfigError


@contextlib.contextmanager
def changing(path: Path, *, field: str) -> Iterator[None]:
    """Read the file and write it anew: of two that do so at the same time, neither loses what the
    other added.

    Args:
        path: The file.
        field: The flag that says where it is.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        with alone(path.parent):
            yield
    except OSError as error:
        raise ConfigError(f"can't be written: {error.strerror}", field=field, value=path) from error
