"""The jobs that were ordered, by name: what an update belongs to, also after its round."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from agent.federation.wire import TRAIN, Order
from server.rounds.folder import RoundFolder, read_json, write_json
from server.rounds.progress import Progress

_JOB = re.compile(r"(\d{4,10})-(\d{3,10})-(?:train|measure)-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """What a job of training started from, and how its update travels."""

    server_round: int
    start_version: int
    start_digest: str
    base_digest: str
    encoding: str


def note_ordered(folder: RoundFolder, order: Order) -> None:
    """Keep what a job of training is; it is on disk before a robot hears of it."""
    known = read_json(folder.orders)
    if order.work == TRAIN and order.job not in known:
        ordered = Ordered(
            server_round=order.server_round,
            start_version=order.start_version,
            start_digest=order.start_digest,
            base_digest=order.base_digest,
            encoding=order.encoding,
        )
        write_json(folder.orders, known | {order.job: dataclasses.asdict(ordered)})


def find_ordered(rounds: Path, job: str) -> Ordered | None:
    """The job of a name that came from a robot; None: this server never ordered it, or cancelled
    it."""
    match = _JOB.fullmatch(job)
    if match is None:
        return None
    folder = RoundFolder.of(rounds, int(match[1]))
    values = read_json(folder.orders).get(job)
    if values is None or folder.run.get("cancelled"):
        return None
    return Ordered(**values)


def counts(rounds: Path, job: str) -> bool:
    """Whether the update of a job that was received is in a release or may still come into one:
    that of a training that was cancelled is in none."""
    match = _JOB.fullmatch(job)
    if match is None:
        return True
    folder = RoundFolder.of(rounds, int(match[1]))
    if not folder.run.get("cancelled"):
        return True
    progress = Progress.load(folder)
    return int(match[2]) < progress.server_round or bool(progress.release)
