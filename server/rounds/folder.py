"""A round's folder.

::

    rounds/
    ├── normaliser.json          of all robots, pooled once and kept
    ├── robots.json              which robot answers from which node, and what the server has of it
    └── 0001/
        ├── request.json         what was asked for, by whom
        ├── run.json             Flower's runs: the last one, how often it was begun anew, who
        │                        cancelled it
        ├── state.json           where the ServerApp is
        ├── statistics.json      of each robot, when they are pooled
        ├── orders.json          the jobs that were ordered, and what they started from
        ├── events.jsonl         what happened
        ├── lock                 held by the ServerApp that works on it: its run, its pid
        ├── updates/001/         accepted updates of its first round: <robot>.safetensors, .json,
        │                        until they are in a release
        └── measured/001.json    what its release was worth to the robots

Each file is there whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.policy.atomic import write_text
from robots.errors import FederationError
from server.events import EventFile
from server.paths import ServerState
from server.rounds.spec import RoundSpec


@dataclass(frozen=True)
class RoundFolder:
    """The paths of one round, derived here and nowhere else.

    Args:
        path: ``…/rounds/0001``.
    """

    path: Path

    @classmethod
    def of(cls, rounds: Path, number: int) -> RoundFolder:
        return cls(rounds / f"{number:04d}")

    @property
    def number(self) -> int:
        return int(self.path.name)

    @property
    def events(self) -> EventFile:
        return EventFile(self.path / "events.jsonl")

    @property
    def aggregation(self) -> Path:
        """What aggregating remembers from round to round, of all rounds of the server."""
        return self.server.root / "aggregation"

    @property
    def server(self) -> ServerState:
        """Whose round it is."""
        return ServerState(self.path.parent.parent)

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def orders(self) -> Path:
        return self.path / "orders.json"

    def updates(self, server_round: int) -> Path:
        return self.path / "updates" / f"{server_round:03d}"

    def measured(self, server_round: int) -> Path:
        return self.path / "measured" / f"{server_round:03d}.json"

    @property
    def spec(self) -> RoundSpec:
        return RoundSpec.from_dict(read_json(self.path / "request.json"))

    def write_spec(self, spec: RoundSpec) -> None:
        write_json(self.path / "request.json", spec.to_dict())

    @property
    def run(self) -> dict[str, Any]:
        """What ``run.json`` says; empty before Flower has accepted a run."""
        return read_json(self.path / "run.json")

    def write_run(self, values: dict[str, Any]) -> None:
        write_json(self.path / "run.json", values)


def read_json(path: Path) -> dict[str, Any]:
    """A record of ours; empty where there is none.

    Raises:
        FederationError: it can't be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FederationError(f"can't be read: {error}", field="state", value=path) from error
    if not isinstance(values, dict):
        raise FederationError("isn't an object", field="state", value=path)
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(values, indent=1, allow_nan=False))
