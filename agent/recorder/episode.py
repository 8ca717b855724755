"""An episode while it is recorded: a folder with a journal of rows and a video for each camera.

::

    .episodes.staging/open-000001/journal.jsonl
    .episodes.staging/open-000001/front.mp4

Whatever cuts it off, what is in it up to a second before can be read: rows are appended, videos are
fragmented, and all of it is put on the disk once a second. Saving and recovering are one and the
same: ``salvage`` reads the folder, and what it finds goes into the data set.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerobot.configs import RGBEncoderConfig

from agent.policy.atomic import sync
from agent.recorder.camera import Camera, Picture, Sink
from agent.recorder.journal import Header, Journal
from agent.recorder.pictures import PictureFolder
from agent.recorder.row import Row
from agent.recorder.video import VideoFile
from robots.errors import DataError

JOURNAL = "journal.jsonl"
TO_DISK_EVERY_S = 1.0

MOST_MISSING_S = 1.0
"""Ticks that are missing are filled with what was before; beyond this the episode has a hole."""


class OpenEpisode:
    """Takes rows and pictures.

    Args:
        folder: A new folder.
        header: What it is of.
        settings: Of the encoders.
        threads: Of each encoder; 0: it decides.

    Raises:
        OSError: the disk is full, among others.
    """

    def __init__(
        self, folder: Path, header: Header, settings: RGBEncoderConfig, *, threads: int
    ) -> None:
        self.folder = folder
        self.header = header
        self.filled = 0
        self._settings = settings
        self._threads = threads
        folder.mkdir(parents=True)
        # The folders' own names too: the one above is new with the first episode.
        for above in (folder.parent, folder.parent.parent):
            sync(above)
        self._cameras: list[Camera] = []
        with contextlib.ExitStack() as undo:
            undo.callback(remove, folder)
            self._journal = Journal(folder / JOURNAL, header)
            undo.callback(self._journal.close)
            for spec in header.layout.images:
                sink = self._sink(spec.key, spec.height, spec.width)
                self._cameras.append(Camera(spec.key, sink, spec.shape))
                undo.callback(self._cameras[-1].drop)
            undo.pop_all()
        self._last: Row | None = None
        self._error: OSError | None = None
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="to-disk", daemon=True)
        self._keeper.start()

    def add(self, row: Row, pictures: Mapping[str, Picture | None]) -> None:
        """One tick. Ticks between the last one and this are filled and marked.

        Args:
            row: A tick that is not new is ignored.
            pictures: Camera key → its picture; ``None``: the one before again.

        Raises:
            DataError: too many ticks are missing; what came before is as it was.
            OSError: it can't be written.
        """
        last = self._last
        if last is not None:
            missing = row.tick - last.tick - 1
            if missing < 0:
                return
            if missing > MOST_MISSING_S * self.header.fps:
                raise DataError(f"{missing} ticks are missing", field="tick", value=row.tick)
            for _ in range(missing):
                last = last.again()
                self._put(last, {})
                self.filled += 1
        self._put(row, pictures)

    @property
    def rows(self) -> int:
        return self._journal.rows

    @property
    def last(self) -> Row | None:
        """The newest row."""
        return self._last

    @property
    def waiting_b(self) -> int:
        """Bytes of pictures that wait for their encoders."""
        return sum(camera.waiting_b for camera in self._cameras)

    @property
    def waiting(self) -> int:
        """Pictures of the camera that lags most."""
        return max((camera.waiting for camera in self._cameras), default=0)

    def check(self) -> None:
        """Whether all is well in the background.

        Raises:
            Exception: what an encoder, or writing to the disk, failed with.
        """
        self._check_encoders()
        if self._error is not None:
            raise self._error

    def end(self, marks: Mapping[str, Any]) -> None:
        """No more rows: the episode is to be kept. Does not wait for the encoders.

        Raises:
            OSError: it can't be written.
        """
        self._journal.end(dict(marks))
        self.stop()

    def stop(self) -> None:
        """No more rows, whatever becomes of it."""
        for camera in self._cameras:
            camera.end()

    def join(self) -> None:
        """Wait for the encoders, and for the disk.

        Raises:
            Exception: what an encoder failed with.
        """
        if self._over.is_set():
            return
        try:
            # All of them, whatever one died of: as soon as this returns their files are cut.
            for camera in self._cameras:
                camera.join()
            self._check_encoders()
            self._to_disk()
        finally:
            self._over.set()
            self._keeper.join()
            self._journal.close()

    @property
    def cameras(self) -> list[Camera]:
        return self._cameras

    def drop(self) -> None:
        """Without a trace."""
        for camera in self._cameras:
            camera.drop()
        self._over.set()
        remove(self.folder)
        self._keeper.join()
        self._journal.close()

    def _put(self, row: Row, pictures: Mapping[str, Picture | None]) -> None:
        # Pictures first: at any instant a crash may take the row, never leave it without one.
        for camera in self._cameras:
            camera.hand(pictures.get(camera.key))
        self._journal.add(row)
        self._last = row

    def _sink(self, key: str, height: int, width: int) -> Sink:
        path = picture_place(self.folder, key, video=self.header.video)
        if not self.header.video:
            return PictureFolder(path, width, height)
        return VideoFile(
            path, self._settings, self.header.fps, width, height, threads=self._threads
        )

    def _keep(self) -> None:
        while not self._over.wait(TO_DISK_EVERY_S):
            try:
                self._to_disk()
            except OSError as error:
                self._error = error
                return

    def _check_encoders(self) -> None:
        for camera in self._cameras:
            if camera.error is not None:
                raise camera.error

    def _to_disk(self) -> None:
        for camera in self._cameras:
            camera.sink.to_disk()
        self._journal.to_disk()
        # An encoder makes its file with its first packet.
        sync(self.folder)


def picture_place(folder: Path, key: str, *, video: bool) -> Path:
    """Where a camera's pictures are: a video file or a folder."""
    return folder / (f"{key}.mp4" if video else key)


def remove(folder: Path) -> None:
    """Remove a folder of an episode so that a crash in between does not leave half an episode."""
    if folder.is_dir():
        dropped = folder.with_name(folder.name.replace("open-", "dropped-"))
        folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)
