"""Rounds as an operator sees them: started one at a time, followed, listed.

A round is a folder: ``request.json`` (what was asked for), ``run.json`` (Flower's run) and
``events.jsonl``. What its state is, its events say.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robots.errors import FederationError
from server.bundle import build_bundle
from server.events import TERMINAL, EventFile, RoundEvent
from server.flower_control import FlowerControl
from server.rounds.spec import RoundSpec

_FOLLOW_S = 0.2


@dataclass(frozen=True)
class RoundRecord:
    """A round and what became of it.

    Args:
        id: Counts from 1 on this server.
        run_id: Flower's; 0 until it is accepted.
        started: Seconds since the epoch.
        status: running, finished or failed.
        reason: Why it failed.
        spec: What was asked for.
        releases: Versions that it made.
    """

    id: int
    run_id: int
    started: float
    status: str
    reason: str
    spec: RoundSpec
    releases: tuple[int, ...]


class RoundBusyError(FederationError):
    """Another round is running."""


class NoSuchRoundError(FederationError):
    """There is no such round."""


class Rounds:
    """The rounds of one server.

    Args:
        root: ``…/rounds`` in its state.
        control: Starts runs.
    """

    def __init__(self, root: Path, control: FlowerControl) -> None:
        self._root = root
        self._control = control
        self._starting = threading.Lock()

    def start(self, spec: RoundSpec) -> RoundRecord:
        """Start a run.

        Raises:
            RoundBusyError: another one is running.
            FederationError: the SuperLink doesn't answer or refuses.
        """
        with self._starting:
            ids = self._ids()
            if ids and (last := self.get(ids[-1])).status == "running":
                raise RoundBusyError(
                    f"round {last.id} is running", remedy=f"Watch it: armada round show {last.id}"
                )
            number = (ids[-1] if ids else 0) + 1
            folder = self._folder(number)
            folder.mkdir(parents=True)
            (folder / "request.json").write_text(json.dumps(spec.to_dict(), indent=1))
            events = self._events(number)
            events.emit("started", request=spec.to_dict())
            try:
                run_id = self._control.start_run(build_bundle(), {"round-id": number})
            except FederationError as error:
                events.emit("failed", reason=str(error))
                raise
            (folder / "run.json").write_text(json.dumps({"run_id": run_id}))
        return self.get(number)

    def get(self, number: int) -> RoundRecord:
        """Raises: NoSuchRoundError."""
        folder = self._folder(number)
        events = self._events(number).read()
        if not events:
            raise NoSuchRoundError("there is no such round", field="round", value=number)
        end = next((e for e in events if e.kind in TERMINAL), None)
        run = folder / "run.json"
        return RoundRecord(
            id=number,
            run_id=json.loads(run.read_text())["run_id"] if run.exists() else 0,
            started=events[0].time,
            status=end.kind if end else "running",
            reason=str(end.data.get("reason", "")) if end else "",
            spec=RoundSpec.from_dict(json.loads((folder / "request.json").read_text())),
            releases=tuple(e.data["version"] for e in events if e.kind == "released"),
        )

    def all(self) -> list[RoundRecord]:
        """Oldest first."""
        return [self.get(number) for number in self._ids()]

    def follow(
        self, number: int, *, after: int = 0, alive: Callable[[], bool] = lambda: True
    ) -> Iterator[RoundEvent]:
        """Events as they are written, to the last one or until ``alive`` says no.

        Raises:
            NoSuchRoundError: there is no such round.
        """
        self.get(number)
        events = self._events(number)
        while alive():
            for event in events.read(after):
                after = event.sequence
                yield event
                if event.kind in TERMINAL:
                    return
            time.sleep(_FOLLOW_S)

    def poll(self) -> None:
        """Call it every second or so: a run that Flower ended without a word of its own gets its
        last event here."""
        ids = self._ids()
        if not ids:
            return
        record = self.get(ids[-1])
        if record.status != "running" or not record.run_id:
            return
        try:
            status = self._control.status(record.run_id)
        except FederationError:
            return  # The SuperLink is being restarted; its database knows the run.
        if status is not None and not status.over:
            return
        # The ServerApp may have written its last event since.
        if self.get(record.id).status != "running":
            return
        reason = "the SuperLink no longer knows the run"
        if status is not None:
            reason = status.details or f"Flower ended the run: {status.sub_status}"
        self._events(record.id).emit("failed", reason=reason)

    def abandon(self) -> None:
        """At start: a round whose run was never accepted can't be running."""
        for record in self.all()[-1:]:
            if record.status == "running" and not record.run_id:
                self._events(record.id).emit("failed", reason="the server ended as it began")

    def _ids(self) -> list[int]:
        if not self._root.is_dir():
            return []
        return sorted(int(p.name) for p in self._root.iterdir() if p.name.isdigit())

    def _folder(self, number: int) -> Path:
        return self._root / f"{number:04d}"

    def _events(self, number: int) -> EventFile:
        return EventFile(self._folder(number) / "events.jsonl")
