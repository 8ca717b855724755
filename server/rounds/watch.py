"""Keeps a round running: Flower's run of it may end, the round goes on in another one.

A run ends without a word when its ServerApp is killed, when the SuperLink has lost it, or when the
whole server was restarted. The ServerApp of the next run finds in the round's folder where the last
one was.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Any

from robots.errors import FederationError
from server.bundle import build_bundle
from server.flower_control import FlowerControl
from server.rounds.folder import RoundFolder, read_json
from server.rounds.record import CANCELLED, read_record

MOST_RESUMES = 5
"""Runs in a row that got nowhere; the round has failed then."""

_LONGEST_PAUSE_S = 60.0


def begin(folder: RoundFolder, control: FlowerControl) -> None:
    """Start the first run of a round.

    Raises:
        FederationError: the SuperLink doesn't answer or refuses; the round has begun nevertheless.
    """
    spec = folder.spec
    folder.events.emit("started", request=spec.to_dict(), by=spec.by)
    _start_run(folder, control, resumes=0, got_to="")


def watch(folder: RoundFolder, control: FlowerControl) -> None:
    """Look after a round that runs; begin another run of it if there is none.

    Raises:
        FederationError: the SuperLink doesn't answer.
    """
    if cancelled(folder):
        return
    run = folder.run
    if not run:
        # The server was killed, or the SuperLink was away, right after `started`.
        _resume(folder, control, "it was never accepted", run)
        return
    died = _died(folder, run["run_id"])
    status = control.status(run["run_id"])
    if not died and status is not None and not status.over:
        return
    # It may have written its last event since.
    if read_record(folder).over:
        return
    if status is None:
        reason = "the SuperLink no longer knows the run"
    elif not status.over:
        reason = "the ServerApp was killed"
        control.stop_run(run["run_id"])
    elif status.sub_status == "stopped":
        cancel(folder, reason="stopped through Flower", by="flwr stop")
        return
    else:
        reason = status.details or f"Flower ended the run: {status.sub_status}"
    _resume(folder, control, reason, run)


def cancel(folder: RoundFolder, *, reason: str, by: str) -> None:
    """End a round for good.

    It stands in ``run.json`` first: from then on nobody wants its jobs, and whoever is killed
    before the event leaves a round that :func:`cancelled` ends.
    """
    folder.write_run({**folder.run, "cancelled": {"reason": reason, "by": by}})
    folder.events.emit(CANCELLED, reason=reason, by=by)


def cancelled(folder: RoundFolder) -> bool:
    """Whether a round was cancelled, whose last event may be missing; then it is written."""
    how = folder.run.get("cancelled")
    if how and not read_record(folder).over:
        folder.events.emit(CANCELLED, **how)
    return bool(how)


def _resume(folder: RoundFolder, control: FlowerControl, reason: str, run: dict[str, Any]) -> None:
    got_to = _got_to(folder)
    resumes = run.get("resumes", 0) + 1 if got_to == run.get("got_to", "") else 1
    if resumes > MOST_RESUMES:
        folder.events.emit(
            "failed", reason=f"{MOST_RESUMES} runs got nowhere; the last one: {reason}"
        )
        return
    pause = min(2.0 ** (resumes - 1) - 1, _LONGEST_PAUSE_S)
    if time.time() < run.get("time", 0.0) + pause:
        return
    run_id = _start_run(folder, control, resumes=resumes, got_to=got_to)
    folder.events.emit("resumed", reason=reason, run=str(run_id))


def _start_run(folder: RoundFolder, control: FlowerControl, *, resumes: int, got_to: str) -> int:
    run_id = control.start_run(build_bundle(), {"round-id": folder.number})
    folder.write_run({"run_id": run_id, "resumes": resumes, "got_to": got_to, "time": time.time()})
    return run_id


def _got_to(folder: RoundFolder) -> str:
    """Another word whenever a round has got on: its phase, and the updates that it has."""
    state = read_json(folder.state)
    updates = len(list((folder.path / "updates").glob("*/*.json")))
    return f"{state.get('server_round', 0)} {state.get('phase', '')} {updates}"


def _died(folder: RoundFolder, run_id: int) -> bool:
    """Whether the ServerApp of this run had begun and is gone, which Flower notices after a minute.

    It holds the lock as long as it lives, and writes its last event before it lets go.
    """
    try:
        descriptor = os.open(folder.lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return os.read(descriptor, 64).split()[:1] == [str(run_id).encode()]
    finally:
        os.close(descriptor)


def hold(folder: RoundFolder, run_id: int, limit_s: float = 120.0) -> int:
    """Be the only ServerApp that works on a round; the descriptor that holds the lock.

    The one of an earlier run may still be there: Flower gave up on it, and it doesn't know yet.

    Raises:
        FederationError: it doesn't go.
    """
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise FederationError(
                    f"another run still works on round {folder.number}", field="run", value=run_id
                ) from error
            time.sleep(0.2)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{run_id} {os.getpid()}\n".encode(), 0)
            return descriptor
