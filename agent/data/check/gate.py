"""The gate: every episode of a data set is read, looked at, and judged by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Verdict, Weight, verdict
from agent.data.check.look import look_at_images, look_at_video
from agent.data.check.rows import ACTION, STATE, Rows, read_rows
from agent.data.check.rules.marks import check_marks
from agent.data.check.rules.motion import check_motion
from agent.data.check.rules.pictures import Seen, check_pictures
from agent.data.check.rules.rows import check_rows
from agent.data.check.rules.words import check_cameras, check_task
from agent.data.check.stats import check_stats
from agent.data.lock import reading
from agent.recorder.marks import PICTURE_QUALITY
from robots.replay.info import DatasetInfo, EpisodeInfo, read_claims

IMAGES = "observation.images."

SHORTEST_S = 1.0
"""Shorter than that no task is done: a key that was hit twice."""

_ROWS_AMISS = ("file", "rows", "doubled", "number")
"""What an episode may be rejected for that leaves no rows to hold a data set's statistics against.
Beside other rejections they are: policies normalise by them also when episodes are left out."""


@dataclass(frozen=True, kw_only=True)
class EpisodeReport:
    """One episode.

    Args:
        index: Its number.
        length: Frames, as claimed.
        findings: What was found.
        seen: Camera → its pictures, for who wants to show the doubtful ones.
    """

    index: int
    length: int
    findings: tuple[Finding, ...]
    seen: dict[str, Seen] = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> Verdict:
        return verdict(self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "episode": self.index,
            "frames": self.length,
            "verdict": str(self.verdict),
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """A data set.

    Args:
        info: Its metadata.
        findings: What concerns no single episode.
        episodes: Each of them.
    """

    info: DatasetInfo
    findings: tuple[Finding, ...]
    episodes: tuple[EpisodeReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst there is."""
        every = [*self.findings, *(f for e in self.episodes for f in e.findings)]
        return verdict(every)

    @property
    def usable(self) -> list[int]:
        """Episodes that may be learned from as they are."""
        return [e.index for e in self.episodes if e.verdict is Verdict.CLEAN]

    def to_json(self) -> dict[str, Any]:
        return {
            "dataset": str(self.info.root),
            "fps": self.info.fps,
            "verdict": str(self.verdict),
            "usable": self.usable,
            "findings": [finding.to_json() for finding in self.findings],
            "episodes": [episode.to_json() for episode in self.episodes],
        }


def check_dataset(
    root: Path, *, told: Callable[[EpisodeReport], None] = lambda report: None
) -> DatasetReport:
    """Judge a data set; nothing is changed.

    Args:
        root: Its folder.
        told: Told of each episode when it was judged.

    Raises:
        DataError: it is no data set, or its metadata can't be read.
    """
    with reading(root):
        info, claims = read_claims(root)
        findings = [*check_cameras(tuple(info.cameras))]
        for what, claimed, there in (
            ("episodes", claims.episodes, len(info.episodes)),
            ("frames", claims.frames, info.frames),
        ):
            if claimed != there:
                detail = f"meta/info.json claims {claimed} {what}, meta/episodes has {there}"
                findings.append(Finding(rule="claims", weight=Weight.BAD, detail=detail))
        cache: dict[Path, pa.Table] = {}
        vectors: dict[str, list[NDArray[np.float32]]] = {STATE: [], ACTION: []}
        episodes: list[EpisodeReport] = []
        for episode in info.episodes:
            report, rows = _check_episode(info, episode, cache)
            episodes.append(report)
            told(report)
            for name, seen in vectors.items():
                if rows is not None:
                    seen.append(rows.vector(name))
        if not any(
            f.rule in _ROWS_AMISS and f.weight is Weight.BAD for e in episodes for f in e.findings
        ):
            # Of one width in all episodes, that is: a column may be missing in some file.
            whole = {n: v for n, v in vectors.items() if len({part.shape[1] for part in v}) == 1}
            findings += check_stats(root, {n: np.concatenate(v) for n, v in whole.items()})
    return DatasetReport(info=info, findings=tuple(findings), episodes=tuple(episodes))


def check_episode(info: DatasetInfo, index: int) -> EpisodeReport:
    """Judge one episode.

    Raises:
        DataError: there is none of this number.
    """
    return _check_episode(info, info.episode(index), {})[0]


def _check_episode(
    info: DatasetInfo, episode: EpisodeInfo, cache: dict[Path, pa.Table]
) -> tuple[EpisodeReport, Rows | None]:
    """The report, and its rows, each once; ``None`` where there are none or they can't be read."""
    found = check_task(episode.tasks)
    try:
        every = read_rows(episode, cache)
        amiss = every.misfit(info.features)
        amiss = amiss and f"doesn't fit: {amiss}"
    except (OSError, pa.ArrowException, KeyError) as error:
        amiss = f"can't be read: {error}"
    if amiss:
        name = episode.data.relative_to(info.root)
        detail = f"{name} {' '.join(amiss.split())[:200]}"
        found.append(Finding(rule="file", weight=Weight.BAD, detail=detail))
        report = EpisodeReport(index=episode.index, length=episode.length, findings=tuple(found))
        return report, None
    rows = every.first()
    found += check_rows(
        every.frame_index,
        every.time_s,
        claimed=episode.length,
        fps=info.fps,
        same=every.copies() if len(rows) < len(every) else None,
    )
    if not len(rows):
        report = EpisodeReport(index=episode.index, length=episode.length, findings=tuple(found))
        return report, None
    state, action = rows.vector(STATE), rows.vector(ACTION)
    found += check_motion(
        state,
        action,
        state_names=info.names(STATE) if state.shape[1] else (),
        action_names=info.names(ACTION) if action.shape[1] else (),
        fps=info.fps,
    )
    quality = rows.vector(PICTURE_QUALITY)
    found += check_marks(
        quality, info.names(PICTURE_QUALITY) if quality.shape[1] else (), rows.fault
    )
    if len(rows) < SHORTEST_S * info.fps:
        detail = f"{len(rows)} frames are less than {SHORTEST_S:g} s"
        found.append(Finding(rule="short", weight=Weight.BAD, detail=detail))
    seen = dict(_look(info, episode, rows))
    for camera, pictures in seen.items():
        found += check_pictures(camera, pictures, state, fps=info.fps)
    report = EpisodeReport(
        index=episode.index, length=episode.length, findings=tuple(found), seen=seen
    )
    return report, rows


def _look(info: DatasetInfo, episode: EpisodeInfo, rows: Rows) -> Iterator[tuple[str, Seen]]:
    for key, feature in info.features.items():
        name = key.removeprefix(IMAGES)
        if feature["dtype"] == "video":
            yield name, look_at_video(episode.videos[key], len(rows), info.fps)
        elif feature["dtype"] == "image":
            yield name, look_at_images(rows.table[key])
