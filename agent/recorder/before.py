"""The last seconds before an episode, kept in memory in case it begins with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from agent.recorder.camera import Picture
from agent.recorder.episode import MOST_MISSING_S
from agent.recorder.intake import Frame
from agent.recorder.pictures import to_jpeg


class Before:
    """A ring of frames with their pictures as JPEG, a tenth of what they are.

    Args:
        seconds: How long; 0: nothing is kept.
        fps: Rate.
        limit_b: The most memory it takes; with less than it wants it is shorter.
    """

    def __init__(self, seconds: float, fps: float, limit_b: int) -> None:
        self._most = round(seconds * fps)
        self._fps = fps
        self._limit_b = limit_b
        self._frames: deque[Frame] = deque()
        self._older: dict[str, Picture] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame) -> None:
        """The newest frame."""
        if not self._most:
            return
        kept: dict[str, Picture | None] = {
            key: to_jpeg(picture) if isinstance(picture, np.ndarray) else picture
            for key, picture in frame.pictures.items()
        }
        self._frames.append(Frame(frame.row, kept))
        self.nbytes += _nbytes(kept)
        while len(self._frames) > self._most or self.nbytes > self._limit_b:
            self._forget()

    def take(self, tick: int, seconds: float) -> Iterator[Frame]:
        """The frames of the ``seconds`` before ``tick`` without a hole, oldest first; the ring is
        empty afterwards."""
        first = tick - round(seconds * self._fps)
        expected = tick
        frames = list(self._frames)
        for i in range(len(frames) - 1, -1, -1):
            missing = expected - frames[i].row.tick - 1
            if frames[i].row.tick < tick and missing > MOST_MISSING_S * self._fps:
                first = max(first, expected)
            expected = frames[i].row.tick
        began = False
        while self._frames:
            row, pictures = self._frames[0]
            if first <= row.tick < tick:
                if not began:
                    # What a camera showed last when it had nothing new.
                    pictures = {k: p or self._older.get(k) for k, p in pictures.items()}
                    began = True
                yield Frame(row, pictures)
            self._forget()
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()
        self._older.clear()
        self.nbytes = 0

    def _forget(self) -> None:
        """The oldest; its pictures may be those of the next ones as well."""
        oldest = self._frames.popleft()
        self.nbytes -= _nbytes(oldest.pictures)
        self._older |= {k: p for k, p in oldest.pictures.items() if p is not None}


def _nbytes(pictures: dict[str, Picture | None]) -> int:
    return sum(len(p) for p in pictures.values() if isinstance(p, bytes))
