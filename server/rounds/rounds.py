"""Rounds as an operator sees them: asked for, run one at a time, followed, listed, cancelled."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from robots.errors import ConfigError, FederationError
from server.events import TERMINAL, RoundEvent
from server.flower_control import FlowerControl
from server.rounds.folder import RoundFolder
from server.rounds.record import (
    QUEUED,
    RUNNING,
    NoRoomError,
    NoSuchRoundError,
    RoundBusyError,
    RoundRecord,
    read_record,
)
from server.rounds.spec import RoundSpec
from server.rounds.watch import begin, cancel, cancelled, watch

_FOLLOW_S = 0.2
_LONGEST_QUEUE = 100


class Rounds:
    """The rounds of one server.

    Args:
        root: ``…/rounds`` in its state.
        control: Starts and ends runs.
        min_free_gb: Least free space to begin a round with.
    """

    def __init__(self, root: Path, control: FlowerControl, min_free_gb: float = 0.0) -> None:
        self._root = root
        self._control = control
        self._min_free_gb = min_free_gb
        self._changing = threading.Lock()
        self._over: set[int] = set()

    def start(self, spec: RoundSpec) -> RoundRecord:
        """Start a round, or put it behind the others if ``spec.queue`` says so.

        Raises:
            RoundBusyError: another one is running, and this one doesn't want to wait.
            NoRoomError: the disk is too full.
            FederationError: the SuperLink refuses.
        """
        with self._changing:
            waiting = self.waiting()
            if waiting and not spec.queue:
                first = waiting[0]
                raise RoundBusyError(
                    f"round {first.id} is {first.status}",
                    remedy=f"Watch it: armada round show {first.id}. Or wait: --queue=true",
                )
            if len(waiting) > _LONGEST_QUEUE:
                raise RoundBusyError(f"{len(waiting)} rounds are waiting already")
            self._check_room()
            folder = self._add(spec)
            if waiting or not self._control.reachable():
                # A SuperLink that is being restarted is waited for like a round before.
                folder.events.emit(QUEUED, request=spec.to_dict())
            else:
                self._begin(folder)
        return read_record(folder)

    def cancel(self, number: int, by: str) -> RoundRecord:
        """End a round that runs or is queued; what robots have finished for it is dropped.

        Args:
            number: Which.
            by: Who says so.

        Raises:
            NoSuchRoundError: there is no such round.
            RoundBusyError: it is over.
        """
        with self._changing:
            record = self.get(number)
            if record.over:
                raise RoundBusyError(f"round {number} is over: {record.status}")
            # First of all: whatever the ServerApp says later doesn't count.
            folder = self._folder(number)
            cancel(folder, reason=f"by {by}" if by else "", by=by)
            if record.run_id:
                # It is cancelled, whether the SuperLink hears of it or not: the ServerApp reads so
                # in run.json, and ends.
                with contextlib.suppress(FederationError):
                    self._control.stop_run(record.run_id)
        return read_record(folder)

    def get(self, number: int) -> RoundRecord:
        """Raises: NoSuchRoundError."""
        return read_record(self._folder(number))

    def all(self) -> list[RoundRecord]:
        """Oldest first."""
        return [*self.newest()][::-1]

    def newest(self) -> Iterator[RoundRecord]:
        """Newest first, each read when it is its turn."""
        return self._records(reversed(self._ids()))

    def waiting(self) -> list[RoundRecord]:
        """Those that run or are queued, oldest first; what is over isn't read again."""
        waiting = []
        for record in self._records(n for n in self._ids() if n not in self._over):
            if record.over:
                self._over.add(record.id)
            else:
                waiting.append(record)
        return waiting

    def follow(
        self, number: int, *, after: int = 0, alive: Callable[[], bool] = lambda: True
    ) -> Iterator[RoundEvent]:
        """Events as they are written, to the last one or until ``alive`` says no.

        Raises:
            NoSuchRoundError: there is no such round.
        """
        self.get(number)
        events = self._folder(number).events
        while alive():
            for event in events.read(after):
                after = event.sequence
                yield event
                if event.kind in TERMINAL:
                    return
            time.sleep(_FOLLOW_S)

    def poll(self) -> None:
        """Call it every second or so: what runs is kept running, and when it is over the next one
        in the queue begins."""
        with self._changing:
            waiting = self.waiting()
            if not waiting:
                return
            first = waiting[0]
            folder = self._folder(first.id)
            try:
                if first.status == RUNNING:
                    watch(folder, self._control)
                elif not cancelled(folder) and self._control.reachable():
                    self._check_room()
                    begin(folder, self._control)
            except NoRoomError as error:
                folder.events.emit("failed", reason=str(error))
            except FederationError:
                return  # The SuperLink is being restarted; its database knows the run.

    def _records(self, numbers: Iterable[int]) -> Iterator[RoundRecord]:
        """Those of them that there are: one that the server died in adding is nobody's."""
        for number in numbers:
            try:
                record = self.get(number)
            except NoSuchRoundError:
                continue
            yield record

    def _check_room(self) -> None:
        """A round that fills the disk ends in the middle of an update or a release."""
        there = next(path for path in (self._root, *self._root.parents) if path.is_dir())
        free_gb = shutil.disk_usage(there).free / 1e9
        if free_gb < self._min_free_gb:
            raise NoRoomError(
                f"{free_gb:.1f} GB are free on the server's disk, a round needs "
                f"{self._min_free_gb:g}",
                field="disk",
                value=there,
                remedy="Free some, or start the server with another --min_free_gb",
            )

    def _add(self, spec: RoundSpec) -> RoundFolder:
        ids = self._ids()
        # One that the server died in adding has no event and is nobody's.
        number = (ids[-1] if ids else 0) + (1 if not ids or self._told(ids[-1]) else 0)
        folder = self._folder(number)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_spec(spec)
        return folder

    def _begin(self, folder: RoundFolder) -> None:
        try:
            begin(folder, self._control)
        except FederationError as error:
            folder.events.emit("failed", reason=str(error))
            raise

    def _told(self, number: int) -> bool:
        return bool(self._folder(number).events.read())

    def _ids(self) -> list[int]:
        if not self._root.is_dir():
            return []
        return sorted(int(p.name) for p in self._root.iterdir() if p.name.isdigit())

    def _folder(self, number: int) -> RoundFolder:
        if number < 1:
            raise ConfigError("must be from 1", field="round", value=number)
        return RoundFolder.of(self._root, number)
