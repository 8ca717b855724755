"""Which updates this server has had: nobody sends one twice."""

from __future__ import annotations

import json
from pathlib import Path

from agent.policy.atomic import append_line
from robots.errors import FederationError


class SeenUpdates:
    """The digests of all updates that were accepted in the life of a server's state.

    A robot that replays an old update, its own or another's, would make it count twice. The same
    job's update delivered again is no replay. Only exact copies are found: a copy with one bit
    changed is another update, which the norm bound and the robust strategies are for.

    Memory and disk: about 200 bytes an update.

    Args:
        path: A file of JSON lines; made with the first update.

    Raises:
        FederationError: a line isn't what ``add`` wrote.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, tuple[str, str]] = {}
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                self._load(number, line)

    def check(self, robot: str, job: str, digest: str) -> None:
        """Refuse what was accepted before.

        Raises:
            FederationError: says whose it was, and of which job.
        """
        earlier = self._seen.get(digest)
        if earlier is None or earlier == (robot, job):
            return
        owner = "its own" if earlier[0] == robot else f"{earlier[0]}'s"
        raise FederationError(f"the update repeats {owner} of job {earlier[1]}")

    def add(self, robot: str, job: str, digest: str) -> None:
        """Remember an update that was accepted; on return it is on the disk."""
        if digest in self._seen:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_line(self._path, json.dumps({"digest": digest, "robot": robot, "job": job}))
        self._seen[digest] = (robot, job)

    def _load(self, number: int, line: str) -> None:
        if not line.endswith("}"):
            # Torn by a power cut: this update was never accepted.
            return
        try:
            entry = json.loads(line)
            self._seen[str(entry["digest"])] = (str(entry["robot"]), str(entry["job"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FederationError(
                f"line {number} can't be read: {error}", field="updates seen", value=self._path
            ) from error
