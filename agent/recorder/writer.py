"""Episodes into a LeRobot data set, one whole episode at a time."""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from agent.data.delete import clear_away
from agent.ipc import FrameLayout
from agent.recorder.codec import choose_encoder
from agent.recorder.config import RecordConfig
from agent.recorder.episode import JOURNAL, OpenEpisode, remove
from agent.recorder.failures import FAILURES
from agent.recorder.features import check_dataset, check_sizes
from agent.recorder.journal import Header, read_journal
from agent.recorder.lerobot_form import write_episode
from agent.recorder.marks import episode_marks, write_marks
from agent.recorder.repair import set_strays_aside
from agent.recorder.salvage import Salvaged, salvage
from agent.recorder.staging import Staging
from robots.errors import DataError
from robots.replay.info import read_info

logger = logging.getLogger(__name__)

MIN_EPISODE_S = 1.0
"""What was cut off is worth keeping from this length on."""


@dataclass(frozen=True)
class Saved:
    """An episode that is in the data set.

    Args:
        index: Its number there.
        frames: Its length.
        marks: What is kept of it.
    """

    index: int
    frames: int
    marks: dict[str, Any]


class EpisodeWriter:
    """Adds episodes to the data set at ``root``.

    An episode is recorded in a folder of its own beside the data set (``OpenEpisode``); to save it
    is one LeRobot session (create or resume, save, finalize) in another folder, whose files are
    moved into the data set when they are closed and complete.

    ``begin`` and what an ``OpenEpisode`` does may be called while another episode is saved in
    another thread.

    Args:
        root: The data set's folder; made with the first episode.
        layout: The robot's features.
        fps: Frames per second.
        robot_type: For the metadata.
        config: How to encode.

    Raises:
        DataError: what is there is no data set, is damaged, or has other features.
        ConfigError: an unknown codec.
    """

    def __init__(
        self, root: Path, layout: FrameLayout, fps: int, robot_type: str, config: RecordConfig
    ) -> None:
        # A link to a folder on another disk: what is staged must lie on that disk too.
        self.root = root.resolve()
        self._layout = layout
        self._fps = fps
        self._robot_type = robot_type
        self._config = config
        # Before anything is touched: a wrong path must cost nothing.
        check_sizes(layout, video=config.video)
        check_dataset(root, layout, fps, video=config.video)
        self.encoder = choose_encoder(config.vcodec)
        self._staging = Staging(self.root)
        done = (
            # First: a full disk may have no room for the others.
            clear_away(self.root),
            self._staging.recover(),
            set_strays_aside(self.root),
        )
        self.repaired = [said for said in done if said]
        self.episodes, self.frames = self._count()
        self.recovered: list[Saved] = []
        self._check_fits()
        self._recover()
        self._numbers = itertools.count(1 + self._highest())

    def begin(self, task: str) -> OpenEpisode:
        """Open an episode.

        Raises:
            OSError: the disk is full, among others.
        """
        header = Header(self._layout, self._fps, self._robot_type, task, self._config.video)
        folder = self._staging.folder / f"open-{next(self._numbers):06d}"
        return OpenEpisode(folder, header, self.encoder, threads=self._config.encoder_threads)

    def save(self, episode: OpenEpisode) -> Saved:
        """Put an episode that was ended on disk for good; waits for its encoders.

        Raises:
            DataError: rows and pictures differ in number.
            OSError: the disk is full, among others; the data set is as it was, and the episode's
                folder stays for the next recorder.
        """
        episode.join()
        found = salvage(episode.folder, cameras=episode.cameras)
        if found.lost:
            raise DataError(
                f"{found.lost} of {found.lost + len(found.rows)} rows have no picture",
                field="episode",
                value=episode.folder.name,
            )
        return self._save(found, found.marks or {}, recovered=False)

    def recount(self) -> None:
        """Episodes were deleted."""
        self.episodes, self.frames = self._count()

    def _save(self, found: Salvaged, marks: Mapping[str, Any], *, recovered: bool) -> Saved:
        kept = episode_marks(
            found.rows,
            found.header.layout,
            dict(marks),
            task=found.header.task,
            recovered=recovered,
            lost_frames=found.lost,
        )
        resume = self._staging.prepare()
        index = write_episode(
            self._staging.episode,
            found,
            kept,
            resume=resume,
            repo_id=self._config.repo_id,
            encoder=self.encoder,
        )
        write_marks(self._staging.episode, index, kept)
        self._staging.commit(found.folder)
        self.episodes += 1
        self.frames += len(found.rows)
        return Saved(index, len(found.rows), kept)

    def rescue(self, episode: OpenEpisode) -> Saved | None:
        """Save what there is of an episode whose recording failed, if it is worth it.

        Raises:
            DataError, OSError: it can't be saved now; its folder stays.
        """
        with contextlib.suppress(av.FFmpegError, OSError, ValueError, RuntimeError):
            # What it failed with is known.
            episode.join()
        if not episode.folder.is_dir():
            # It was saved, and what failed came after.
            return None
        return self._rescue(salvage(episode.folder), "its recording failed")

    def _recover(self) -> None:
        """Save what a crash or a power cut left of open episodes."""
        for folder in sorted(self._staging.folder.glob("dropped-*")):
            shutil.rmtree(folder)
        for folder in sorted(self._staging.folder.glob("open-*")):
            try:
                self._recover_one(folder)
            except FAILURES as error:
                # A full disk, or a video that can't be copied: what is recorded from now on must
                # not wait for it, and the next recorder tries again.
                logger.exception("an episode that was cut off can't be saved")
                self.repaired.append(f"can't be saved yet: {folder} ({error})")

    def _recover_one(self, folder: Path) -> None:
        try:
            found = salvage(folder)
        except DataError as error:
            self.repaired.append(f"an episode that had hardly begun is lost ({error})")
            remove(folder)
            return
        if (saved := self._rescue(found, "cut off")) is not None:
            self.recovered.append(saved)
        else:
            self.repaired.append(f"{len(found.rows)} frames that were cut off are dropped")

    def _rescue(self, found: Salvaged, fault: str) -> Saved | None:
        ended = found.marks is not None
        if not found.rows or not (ended or len(found.rows) >= MIN_EPISODE_S * found.header.fps):
            remove(found.folder)
            return None
        marks = dict(found.marks or {})
        if found.lost or not ended:
            marks["fault"] = marks.get("fault") or fault
        saved = self._save(found, marks, recovered=True)
        logger.warning("episode %d was recovered: %d frames", saved.index, saved.frames)
        return saved

    def _check_fits(self) -> None:
        """Before anything is saved: what waits must be of this robot.

        Raises:
            DataError: it isn't.
        """
        ours = (self._layout, self._fps, self._config.video)
        for folder in sorted(self._staging.folder.glob("open-*")):
            try:
                theirs = read_journal(folder / JOURNAL).header
            except DataError:
                continue  # It had hardly begun: see `_recover_one`.
            if ours != (theirs.layout, theirs.fps, theirs.video):
                raise DataError(
                    "an episode of other cameras, joints or rate waits to be recovered",
                    field="--dataset.root",
                    value=self.root,
                    remedy=f"Record once as before, or move {folder} away to give it up",
                )

    def _highest(self) -> int:
        names = [p.name for p in self._staging.folder.glob("open-*")]
        return max((int(name.rpartition("-")[2]) for name in names), default=0)

    def _count(self) -> tuple[int, int]:
        if not (self.root / "meta" / "info.json").is_file():
            return 0, 0
        info = read_info(self.root)
        return len(info.episodes), info.frames
