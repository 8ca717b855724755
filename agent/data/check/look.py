"""What is to be seen of an episode's pictures: each is decoded once and kept small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def look_at_video(span: VideoSpan, frames: int, fps: float) -> Seen:
    """Decode one episode of a video file.

    Args:
        span: Where it is.
        frames: How many pictures there should be.
        fps: Nominal.
    """
    return _see(_decode(span, frames, fps), frames)


def look_at_images(cells: pa.ChunkedArray) -> Seen:
    """Decode pictures that are kept in the rows, LeRobot's ``image`` features.

    Args:
        cells: Structs with ``bytes``.
    """

    def decode() -> Iterator[NDArray[np.uint8]]:
        for cell in cells:
            yield np.asarray(Image.open(BytesIO(cell.as_py()["bytes"])).convert("L"))

    return _see(decode(), len(cells))


def _decode(span: VideoSpan, frames: int, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Grey pictures, one for each row: LeRobot too asks for the picture of a row's time."""
    with av.open(str(span.path)) as container:
        stream = container.streams.video[0]
        # One thread: a codec's own threads may log, which waits for the interpreter, while whoever
        # closes the codec holds it and waits for them.
        stream.codec_context.thread_count = 1
        start = max(0.0, span.start_s - _HALF / fps)
        container.seek(int(start / stream.time_base), stream=stream, backward=True)
        row = 0
        for frame in container.decode(stream):
            at = (frame.time - span.start_s) * fps
            if at < row - _HALF:
                continue
            if at >= frames - _HALF or row >= frames:
                return
            if at > row + _HALF:
                # None is there for this row's time; those after it would be another's.
                return
            yield frame.to_ndarray(format="gray")
            row += 1


def _see(pictures: Iterable[NDArray[np.uint8]], frames: int) -> Seen:
    small: list[NDArray[np.float32]] = []
    error = ""
    try:
        for picture in pictures:
            resized = cv2.resize(picture, _BLOCKS, interpolation=cv2.INTER_AREA)
            small.append(resized.astype(np.float32))
    except (av.FFmpegError, OSError, ValueError, IndexError, UnidentifiedImageError) as problem:
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
        blocks=blocks.astype(np.uint8),
    )
