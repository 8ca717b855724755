"""What the server remembers of robots from round to round: their nodes, and what it has of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server.nodes import node_names
from server.rounds.folder import read_json, write_json

_MOST_RECEIVED = 64
"""Jobs that are remembered of a robot. A late update is refused long before its job is forgotten
here (``late.MOST_LATE``): none can be counted twice."""


class KnownRobots:
    """``robots.json``.

    Args:
        path: Where it is.
        registered: Whose key each node has, as the fleet service wrote it; it isn't there without
            TLS.
    """

    def __init__(self, path: Path, registered: Path) -> None:
        self._path = path
        self._registered = registered
        values: dict[str, Any] = read_json(path)
        self._nodes: dict[str, str] = values.get("nodes", {})
        self._received: dict[str, list[str]] = values.get("received", {})

    def name(self, node: str) -> str:
        """Which robot answered from a node; empty: none has."""
        return self._nodes.get(node, "")

    def owner(self, node: str) -> str:
        """Whose key a node proved to have; empty: keys aren't asked for."""
        return node_names(self._registered).get(int(node), "")

    def answers_from(self, robot: str, node: str) -> None:
        """A robot has one node; the last that it answered from."""
        if self._nodes.get(node) == robot:
            return
        self._nodes = {n: r for n, r in self._nodes.items() if r != robot} | {node: robot}
        self._save()

    def received(self, robot: str) -> tuple[str, ...]:
        """Jobs of a robot that the server is done with, oldest first."""
        return tuple(self._received.get(robot, ()))

    def note_received(self, robot: str, job: str) -> None:
        jobs = self._received.setdefault(robot, [])
        if job not in jobs:
            jobs.append(job)
            del jobs[:-_MOST_RECEIVED]
            self._save()

    def _save(self) -> None:
        write_json(self._path, {"nodes": self._nodes, "received": self._received})
