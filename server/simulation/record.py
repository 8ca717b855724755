"""What came of a simulation, round by round and client by client; nothing that wasn't measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flwr.app import Message, MessageType

from agent.federation.simulation.config import SimulationConfig
from agent.policy import atomic
from server.simulation.events import REPORT

Emit = Callable[..., None]
"""Takes an event: its kind, and what is to be said of it."""

_TRAINED = {"loss-first": "loss_first", "loss-last": "loss_last", "num-examples": "samples"}
_SAID = {"error-before": "error_before", "error-after": "error_after", "seconds": "seconds"}


class Record:
    """Keeps ``report.json`` up to date, and tells of each step as an event.

    Args:
        output: The simulation's folder.
        config: What was asked for.
        emit: Where events go.
    """

    def __init__(self, output: Path, config: SimulationConfig, emit: Emit) -> None:
        self._path = output / REPORT
        self._emit = emit
        self._began = time.monotonic()
        self._round: dict[str, Any] = {}
        self.data: dict[str, Any] = {
            "config": config.to_run_config(),
            "status": "running",
            "clients": {},
            "rounds": [],
        }

    def clients(self, clients: Mapping[str, Mapping[str, Any]]) -> None:
        """Who takes part, and with what."""
        self.data["clients"] = {name: dict(clients[name]) for name in sorted(clients)}
        self._write()

    def begin(self, number: int) -> None:
        """A round begins; 0 is the measurement before the first."""
        self._round = {"round": number, "clients": {}, "declined": {}}
        self.data["rounds"].append(self._round)

    def sent(self, kind: str, clients: int) -> None:
        """A message went to so many clients."""
        if kind == MessageType.TRAIN:
            self.begin(len(self.data["rounds"]))
        self._emit("sent", round=self._round["round"], phase=kind, clients=clients)

    def reply(self, name: str, message: Message) -> None:
        """A client answered."""
        kind: str = message.metadata.message_type
        about = {"round": self._round["round"], "phase": kind, "client": name}
        if message.has_error():
            reason = str(message.error.reason).strip()
            self._round["declined"].setdefault(name, {})[kind] = reason
            self._emit("declined", **about, reason=reason)
            return
        metrics = message.content["metrics"]
        if kind == MessageType.TRAIN:
            report: Mapping[str, Any] = message.content["report"]
            told = {ours: metrics[theirs] for theirs, ours in _TRAINED.items()}
            told |= {ours: report[theirs] for theirs, ours in _SAID.items() if theirs in report}
        else:
            told = {
                "held_out_error": metrics["held-out-error"],
                "heldout_episodes": metrics["num-examples"],
            }
        self._round["clients"].setdefault(name, {}).update(told)
        self._emit("reply", **about, **told)

    def end(self) -> None:
        """A round is over: its means, weighted as Flower weights them."""
        clients = self._round["clients"].values()
        for mean, value, weight in (
            ("loss_first", "loss_first", "samples"),
            ("loss_last", "loss_last", "samples"),
            ("held_out_error", "held_out_error", "heldout_episodes"),
        ):
            have = [client for client in clients if value in client]
            if have:
                total = sum(client[weight] for client in have)
                self._round[mean] = sum(c[value] * c[weight] for c in have) / total
        self._emit(
            "round", **{key: value for key, value in self._round.items() if key != "clients"}
        )
        self._write()

    def close(self, status: str, **more: Any) -> None:
        """The simulation is over: ``finished`` or ``failed``."""
        seconds = round(time.monotonic() - self._began, 2)
        self.data |= {"status": status, "seconds": seconds, **more}
        self._write()
        self._emit(status, seconds=seconds, **more)

    def _write(self) -> None:
        atomic.write_text(self._path, json.dumps(self.data, indent=1, allow_nan=False))
