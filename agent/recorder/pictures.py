"""Pictures kept as pictures (``--dataset.video=false``): one PNG a row, each whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class PictureFolder:
    """Stands where a ``VideoFile`` stands.

    Args:
        path: A new folder.
        width, height: Smaller pictures are enlarged.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self._size = (width, height)
        self._count = 0
        path.mkdir()

    def add(self, picture: NDArray[np.uint8]) -> None:
        """(h, w, 3), RGB, of any size."""
        if picture.shape[1::-1] != self._size:
            picture = enlarge(picture, *self._size)
        done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PNG)
        if not done:
            raise ValueError("a picture can't be encoded")
        path = picture_path(self.path, self._count)
        partial = path.with_suffix(".partial")
        partial.write_bytes(data.tobytes())
        partial.rename(path)
        self._count += 1

    def again(self) -> None:
        """The picture before once more."""
        path = picture_path(self.path, self._count)
        path.hardlink_to(picture_path(self.path, self._count - 1))
        self._count += 1

    def to_disk(self) -> None:
        """What has been written survives a power cut."""
        os.sync()

    def close(self) -> None:
        """Every picture is closed already."""


def picture_path(folder: Path, number: int) -> Path:
    return folder / f"frame-{number:06d}.png"


def whole_pictures(folder: Path) -> int:
    """How many pictures there are, from the first on, that can be read."""
    number = 0
    while (path := picture_path(folder, number)).is_file() and cv2.imread(str(path)) is not None:
        number += 1
    return number


def shrink(picture: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """A copy of (H, W, 3) at this share of its resolution."""
    if quality == 1.0:
        return picture.copy()
    height, width = picture.shape[:2]
    size = max(2, round(width * quality)), max(2, round(height * quality))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def enlarge(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3)."""
    size = (width, height)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def to_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A tenth of the memory, for pictures that may never be asked for."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    if not done:
        raise ValueError("a picture can't be encoded")
    return data.tobytes()


def from_jpeg(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3), RGB."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a picture can't be decoded")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
