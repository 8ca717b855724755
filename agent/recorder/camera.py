"""One camera of an open episode: its pictures wait here for their encoder, a thread of its own.

Who hands them over never waits; how many bytes wait is for the ladder to see.
"""

from __future__ import annotations

import queue
import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.recorder.failures import FAILURES
from agent.recorder.pictures import from_jpeg
from agent.recorder.sample import PictureSample

Picture = NDArray[np.uint8] | bytes
"""(h, w, 3), RGB; or a JPEG."""


class Sink(Protocol):
    """Where pictures go: ``VideoFile`` or ``PictureFolder``."""

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next picture."""

    def again(self) -> None:
        """The picture before once more."""

    def to_disk(self) -> None:
        """What was added survives a power cut."""

    def close(self) -> None:
        """No more."""


class Camera:
    """Encodes in the background.

    Args:
        key: Its name.
        sink: Where its pictures go.
        shape: (H, W, 3), for the black picture that stands for a first one that is missing.
    """

    def __init__(self, key: str, sink: Sink, shape: tuple[int, int, int]) -> None:
        self.key = key
        self.sink = sink
        self.sample = PictureSample()
        self.error: Exception | None = None
        self.encoded = 0
        self._shape = shape
        self._handed = 0
        self._dropped = False
        self._waiting_b = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Picture | type[StopIteration] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"encoder-{key}", daemon=True)
        self._thread.start()

    def hand(self, picture: Picture | None) -> None:
        """The next picture; ``None``: the one before again."""
        if picture is None and not self._handed:
            picture = np.zeros(self._shape, np.uint8)
        self._handed += 1
        self._count(_size(picture))
        self._queue.put(picture)

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        return self._handed - self.encoded

    @property
    def waiting_b(self) -> int:
        """Their bytes."""
        return self._waiting_b

    def end(self) -> None:
        """No more pictures; those that wait are still encoded."""
        self._queue.put(StopIteration)

    def drop(self) -> None:
        """No more pictures, and those that wait are not wanted either."""
        self._dropped = True
        self.end()

    def join(self) -> None:
        """Wait until the file is closed, or the encoder has died of ``error``."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not StopIteration:
                assert not isinstance(item, type)
                if not self._dropped:
                    self._encode(item)
            self.sink.close()
        except FAILURES as error:
            # The episode asks for it at every frame, and at its end.
            self.error = error
            with self._lock:
                self._waiting_b = 0

    def _encode(self, item: Picture | None) -> None:
        if item is None:
            self.sink.again()
            self.sample.skip()
        else:
            picture = from_jpeg(item) if isinstance(item, bytes) else item
            self.sink.add(picture)
            self.sample.add(picture)
        self._count(-_size(item))
        self.encoded += 1

    def _count(self, size_b: int) -> None:
        with self._lock:
            self._waiting_b += size_b


def _size(picture: Picture | None) -> int:
    if picture is None:
        return 0
    return len(picture) if isinstance(picture, bytes) else picture.nbytes
