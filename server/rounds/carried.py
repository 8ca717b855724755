"""Updates of a round that failed: accepted, and in no release. The next round takes them over.

A robot forgets an update once the server has it, and counts its episodes as trained on. So a round
that closes with too few robots must not take those few along, and one that is cancelled not what it
had taken over itself; its own updates are wanted by nobody (``find_ordered``). What isn't taken
over won't be later either, and is deleted; with ``--late=drop`` that is all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from agent.policy import weights
from server.aggregation.stored import StoredUpdate
from server.events import TERMINAL
from server.rounds.folder import RoundFolder
from server.rounds.jobs import find_ordered
from server.rounds.late import MOST_LATE
from server.rounds.progress import Progress
from server.rounds.replies import Emit
from server.rounds.starts import Starts


def take_over(
    folder: RoundFolder, progress: Progress, base_digest: str, starts: Starts, emit: Emit
) -> None:
    """Move what earlier rounds have left over to this one, as late updates.

    Each lies in one round's folder at any time: whoever is killed in between does it again.

    Args:
        folder: Of the round that begins.
        progress: Where it is.
        base_digest: The base policy's; an update of another one is of no use.
        starts: Weights that jobs start from.
        emit: Where events go.

    Raises:
        FederationError: a record of an earlier round can't be read.
        ModelError: a stored update can't be read.
    """
    for over in _over(folder):
        for left in _left(over):
            _move(left, over.number, folder, progress, base_digest, starts, emit)
        shutil.rmtree(over.path / "updates", ignore_errors=True)


def drop_left(folder: RoundFolder) -> None:
    """Delete what earlier rounds have left over: the round that begins takes nothing late."""
    for over in _over(folder):
        shutil.rmtree(over.path / "updates", ignore_errors=True)


def _over(folder: RoundFolder) -> Iterator[RoundFolder]:
    """Earlier rounds that have ended and still have updates, oldest first."""
    for path in sorted(folder.path.parent.glob("[0-9]*")):
        earlier = RoundFolder(path)
        before = earlier.number < folder.number
        if before and (path / "updates").is_dir() and _ended(earlier):
            yield earlier


def _ended(folder: RoundFolder) -> bool:
    return any(event.kind in TERMINAL for event in folder.events.read())


def _left(folder: RoundFolder) -> list[StoredUpdate]:
    """The updates of the last training of a failed or cancelled round that went into nothing."""
    if not folder.state.exists():
        return []
    progress = Progress.load(folder)
    updates = folder.updates(progress.server_round)
    if progress.release or not updates.exists():
        return []
    events = folder.events.read()
    if not any(event.kind in ("failed", "cancelled") for event in events):
        return []
    # With the job: a robot may have sent a bad reply, which names none, and delivered after it.
    dropped = [event.data for event in events if event.kind == "dropped"]
    refused = {(data.get("robot"), data.get("job")) for data in dropped}
    return [u for u in StoredUpdate.read_all(updates) if (u.robot, u.job) not in refused]


def _move(
    left: StoredUpdate,
    failed: int,
    folder: RoundFolder,
    progress: Progress,
    base_digest: str,
    starts: Starts,
    emit: Emit,
) -> None:
    ordered = find_ordered(folder.path.parent, left.job)
    if ordered is None or ordered.base_digest != base_digest:
        return
    behind = progress.start_version - ordered.start_version
    if not 0 <= behind <= MOST_LATE:
        return
    report = {"failed_round": failed, **left.report, "staleness": behind}
    path: Path = folder.updates(progress.server_round) / f"{left.robot}+{left.job}.safetensors"
    if not path.with_suffix(".json").exists():
        version = ordered.start_version
        StoredUpdate.write(
            path,
            weights.load(left.path),
            starts.load(version),
            robot=left.robot,
            node=left.node,
            job=left.job,
            samples=left.samples,
            encoding=left.encoding,
            start_digest=left.start_digest,
            update_digest=left.update_digest,
            length=starts.length(version),
            staleness=behind,
            start_file=None if behind == 0 else starts.file(version),
            report=report,
        )
        emit("late", **report)
    left.path.with_suffix(".json").unlink()
    left.path.unlink()
