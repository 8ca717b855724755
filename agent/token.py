"""Where a token comes from: an environment variable or a file; it never stands in a flag."""

from __future__ import annotations

import os
from pathlib import Path

from robots.errors import ConfigError


def check_token(env: str, file: str, *, prefix: str) -> None:
    """What can be refused before the token is needed.

    Args:
        env: Name of the variable; empty: none.
        file: Path of the file; empty: none.
        prefix: Of the two flags, such as ``--inference.``.

    Raises:
        ConfigError: both are given, or what is given isn't there.
    """
    if env and file:
        raise ConfigError("are two tokens", field=f"{prefix}token_env, {prefix}token_file")
    if env and not os.environ.get(env):
        raise ConfigError(
            "isn't set in the environment",
            field=f"{prefix}token_env",
            value=env,
            remedy=f"export {env}=…",
        )
    if file and not Path(file).is_file():
        raise ConfigError("isn't a file", field=f"{prefix}token_file", value=file)


def read_token(env: str, file: str, *, prefix: str) -> str:
    """The token; empty without one.

    Args:
        env: Name of the variable; empty: none.
        file: Path of the file; empty: none.
        prefix: Of the two flags.

    Raises:
        ConfigError: it can't be read.
    """
    if env:
        return os.environ.get(env, "").strip()
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"can't be read: {error}", field=f"{prefix}token_file", value=file
        ) from error
