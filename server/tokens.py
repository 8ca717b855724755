"""Tokens of robots, or of operators: a file of their digests, so that whoever reads it can't pose
as one of them.

A token is 256 random bits: one round of SHA-256 hides it, there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from agent.policy.atomic import replacing
from robots.errors import ConfigError
from robots.names import check_name
from server.changing import changing

_MODE = 0o600


class Tokens:
    """The tokens file: a JSON object of robot → digest.

    Args:
        path: The file; it is made by the first ``add`` and read again when it changes.

    Raises:
        ConfigError: it can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._digests: dict[str, str] = {}

    def create(self) -> None:
        """Make the file if there is none, with nobody in it.

        Raises:
            ConfigError: it can't be written.
        """
        with changing(self._path, field="--tokens"):
            if not self._path.exists():
                self._write({})

    def robots(self) -> list[str]:
        """Who has one."""
        return sorted(self._read())

    def robot(self, token: str) -> str | None:
        """Whose token this is. The time it takes says nothing of it."""
        digest = _digest(token)
        found = None
        for robot, known in self._read().items():
            if hmac.compare_digest(digest, known):
                found = robot
        return found

    def add(self, robot: str) -> str:
        """Make a token for a robot; one that it had is void.

        Returns:
            The token, which is kept nowhere.

        Raises:
            ConfigError: a name that no robot can have, or the file can't be written.
        """
        check_name("robot", robot)
        token = secrets.token_urlsafe(32)
        with changing(self._path, field="--tokens"):
            self._write({**self._read(), robot: _digest(token)})
        return token

    def remove(self, robot: str) -> None:
        """Void a robot's token.

        Raises:
            ConfigError: it has none.
        """
        with changing(self._path, field="--tokens"):
            digests = dict(self._read())
            if digests.pop(robot, None) is None:
                raise ConfigError("has no token", field="robot", value=robot)
            self._write(digests)

    def _read(self) -> dict[str, str]:
        try:
            status = self._path.stat()
            # Two changes can come within one tick of the file system's clock.
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                digests = json.loads(self._path.read_text(encoding="utf-8"))
                if not isinstance(digests, dict) or not all(
                    isinstance(word, str) for pair in digests.items() for word in pair
                ):
                    raise ValueError("is no object of robot and digest")
                self._stamp, self._digests = stamp, digests
        except FileNotFoundError:
            self._stamp, self._digests = None, {}
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"can't be read: {error}", field="--tokens", value=self._path
            ) from error
        return self._digests

    def _write(self, digests: dict[str, str]) -> None:
        with replacing(self._path) as temporary:
            temporary.touch(_MODE)
            temporary.write_text(json.dumps(digests, indent=1), encoding="utf-8")
            if self._path.exists():
                # root may add a token; the server, which is not root, must still read them.
                before = self._path.stat()
                os.chown(temporary, before.st_uid, before.st_gid)
                temporary.chmod(before.st_mode & 0o777)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
