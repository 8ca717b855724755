"""What is to be seen of an episode's pictures: each is decoded once and kept small, the few that
are shown once more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO

import av
import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from agent.data.check.rules.pictures import Seen
from robots.replay.info import VideoSpan

_BLOCKS = (32, 32)
"""Small enough to keep for a whole episode, large enough that a gripper fills a block."""

_HALF = 0.5

_UNREADABLE = (
    *(av.FFmpegError, OSError, ValueError, IndexError, UnidentifiedImageError),
    # A cell that is empty, or holds something else than a picture.
    *(TypeError, KeyError),
)


def look_at_video(span: VideoSpan, frames: int, fps: float) -> Seen:
    """Decode one episode of a video file.

    Args:
        span: Where it is.
        frames: How many pictures there should be.
        fps: Nominal.
    """
    return _see((f.to_ndarray(format="gray") for f in _decode(span, 0, frames, fps)), frames)


def look_at_images(cells: pa.ChunkedArray) -> Seen:
    """Decode pictures that are kept in the rows, LeRobot's ``image`` features.

    Args:
        cells: Structs with ``bytes``.
    """

    def decode() -> Iterator[NDArray[np.uint8]]:
        for cell in cells:
            yield np.asarray(Image.open(BytesIO(cell.as_py()["bytes"])).convert("L"))

    return _see(decode(), len(cells))


def show_video(
    span: VideoSpan, which: Sequence[int], fps: float
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode a few pictures of an episode in colour; ends at the first that can't be.

    Args:
        span: Where it is.
        which: Rows, ascending.
        fps: Nominal.

    Yields:
        The row, and its picture (H, W, 3).
    """
    rows = range(which[0], which[-1] + 1)
    with contextlib.suppress(*_UNREADABLE):
        for row, frame in zip(rows, _decode(span, rows.start, rows.stop, fps), strict=False):
            if row in which:
                yield row, frame.to_ndarray(format="rgb24")


def show_images(
    cells: pa.ChunkedArray, which: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The same of pictures that are kept in the rows."""
    with contextlib.suppress(*_UNREADABLE):
        for row in which:
            image = Image.open(BytesIO(cells[row].as_py()["bytes"]))
            yield row, np.asarray(image.convert("RGB"))


def _decode(span: VideoSpan, first: int, end: int, fps: float) -> Iterator[av.VideoFrame]:
    """Pictures from row ``first`` to before ``end``, one for each: LeRobot too asks for the picture
    of a row's time."""
    with av.open(str(span.path)) as container:
        stream = container.streams.video[0]
        # One thread: a codec's own threads may log, which waits for the interpreter, while whoever
        # closes the codec holds it and waits for them.
        stream.codec_context.thread_count = 1
        start = max(0.0, span.start_s + (first - _HALF) / fps)
        container.seek(int(start / stream.time_base), stream=stream, backward=True)
        row = first
        for frame in container.decode(stream):
            at = (frame.time - span.start_s) * fps
            if at < row - _HALF:
                continue
            if at >= end - _HALF or row >= end:
                return
            if at > row + _HALF:
                # None is there for this row's time; those after it would be another's.
                return
            yield frame
            row += 1


def _see(pictures: Iterable[NDArray[np.uint8]], frames: int) -> Seen:
    small: list[NDArray[np.float32]] = []
    error = ""
    try:
        for picture in pictures:
            resized = cv2.resize(picture, _BLOCKS, interpolation=cv2.INTER_AREA)
            small.append(resized.astype(np.float32))
    except _UNREADABLE as problem:
        error = " ".join(str(problem).split())[:200] or type(problem).__name__
    if not small:
        nothing = np.zeros(0, np.float32)
        return Seen(nothing, nothing, error)
    blocks = np.array(small[:frames])
    change = np.abs(np.diff(blocks, axis=0)).max(axis=(1, 2))
    return Seen(
        brightness=blocks.mean(axis=(1, 2)),
        change=np.concatenate([np.zeros(1, np.float32), change]),
        error=error,
    )
