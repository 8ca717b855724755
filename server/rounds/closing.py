"""From the updates of a round to its release, made exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

from agent.policy import weights
from robots.errors import FederationError
from server.aggregation.aggregate import Aggregate, TooFewError, aggregate
from server.aggregation.optimiser import hand_over
from server.aggregation.stored import StoredUpdate
from server.aggregation.weigh import Refused
from server.base import Base
from server.registry.releases import Releases
from server.rounds.folder import RoundFolder
from server.rounds.progress import OPEN, OUT, Progress
from server.rounds.replies import Emit, joined
from server.rounds.spec import RoundSpec
from server.rounds.starts import Starts

_MEANS = ("error_before", "error_after")


def own(updates: list[StoredUpdate]) -> list[StoredUpdate]:
    """Those of this round, without the late ones of others."""
    return [u for u in updates if u.path.stem == u.robot]


def check_enough(folder: RoundFolder, progress: Progress, spec: RoundSpec) -> None:
    """Raises: FederationError, with the reasons, if fewer than ``min_robots`` gave an update."""
    updates = own(StoredUpdate.read_all(folder.updates(progress.server_round)))
    if len(updates) >= spec.min_robots:
        return
    reasons = [
        f"{seat.robot or f'node {node}'}: {seat.reason}"
        for node, seat in progress.seats.items()
        if seat.state == OUT
    ]
    silent = [s.robot or f"node {n}" for n, s in progress.seats.items() if s.state == OPEN]
    if silent:
        reasons.append(f"nothing within {spec.timeout_s:g} s from {', '.join(silent)}")
    raise FederationError(
        f"{len(updates)} of {spec.min_robots} robots gave an update "
        f"in round {progress.server_round}: {joined(reasons) or 'no robot answered'}"
    )


def release(
    folder: RoundFolder,
    progress: Progress,
    spec: RoundSpec,
    *,
    base: Base,
    releases: Releases,
    starts: Starts,
    run: int,
    emit: Emit,
) -> dict[str, Any]:
    """Aggregate what is on disk and add the release; its manifest.

    Whoever was killed in between does it again, with the same result; a release that is there
    already is that one.

    Raises:
        FederationError: fewer updates than ``min_robots`` are left.
        ModelError: a stored file can't be read.
    """
    manifest = _made(releases, progress, folder.number)
    if manifest is None:
        manifest = _make(folder, progress, spec, base, releases, starts, run, emit)
    hand_over(
        spec.aggregation,
        folder.aggregation,
        progress.result_digest,
        str(manifest["trainable_digest"]),
    )
    told = {e.data["version"] for e in folder.events.read() if e.kind == "released"}
    if manifest["version"] not in told:
        emit(
            "released",
            version=manifest["version"],
            digest=manifest["digest"],
            trainable_digest=manifest["trainable_digest"],
            samples=manifest["samples"],
        )
    return manifest


def drop_released(folder: RoundFolder, progress: Progress) -> None:
    """Delete the updates that are in a release, 100 to 400 MB a robot at true size: nobody reads
    them again. Those of a training without one are what the next round takes over."""
    last = progress.server_round if progress.release else progress.server_round - 1
    for server_round in range(1, last + 1):
        shutil.rmtree(folder.updates(server_round), ignore_errors=True)


def _made(releases: Releases, progress: Progress, round_id: int) -> dict[str, Any] | None:
    for version in releases.versions():
        if version <= progress.start_version:
            continue
        manifest = releases.manifest(version)
        if (manifest["round"], manifest["server_round"]) == (round_id, progress.server_round):
            return manifest
    return None


def _make(
    folder: RoundFolder,
    progress: Progress,
    spec: RoundSpec,
    base: Base,
    releases: Releases,
    starts: Starts,
    run: int,
    emit: Emit,
) -> dict[str, Any]:
    updates = StoredUpdate.read_all(folder.updates(progress.server_round))
    try:
        result = aggregate(
            spec.aggregation,
            starts.load(progress.start_version),
            updates,
            folder.aggregation,
            (spec.train.seed + progress.server_round - 1) % 2**31,
            min_robots=spec.min_robots,
        )
    except TooFewError as error:
        _tell(error.refused, emit)
        raise
    progress.result_digest = weights.digest(result.tensors)
    progress.save(folder)
    _tell(result.refused, emit)
    participants = [update.report for update in result.used]
    metrics = result.metrics | _means(result)
    emit(
        "aggregated",
        server_round=progress.server_round,
        robots=len({update.robot for update in result.used}),
        samples=sum(update.samples for update in result.used),
        metrics=metrics,
    )
    return releases.add(
        result.tensors,
        base,
        run=run,
        round_id=folder.number,
        server_round=progress.server_round,
        participants=participants,
        metrics=metrics,
        encoding=spec.encoding,
        normaliser=progress.normaliser,
    )


def _tell(refused: Iterable[Refused], emit: Emit) -> None:
    """What was not aggregated; by the job it is known to the round that takes over from this."""
    for update, reason in ((r.update, r.reason) for r in refused):
        emit("dropped", reason=reason, robot=update.robot, node=update.node, job=update.job)


def _means(result: Aggregate) -> dict[str, float]:
    """Losses weighted by samples, held-out errors over the robots that have them."""
    means: dict[str, float] = {}
    for name in ("loss_first", "loss_last"):
        have = [(u.report[name], u.samples) for u in result.used if name in u.report]
        if have:
            means[name.replace("_", "-")] = sum(v * s for v, s in have) / sum(s for _, s in have)
    for name in _MEANS:
        values = [u.report[name] for u in result.used if name in u.report]
        if values:
            means[name.replace("_", "-")] = sum(values) / len(values)
    return means
