"""Video files that can be read up to where they were cut off, and their way to plain mp4.

An mp4 has its index at the end: cut off, it is nothing. While it is recorded a camera's video is
therefore a *fragmented* mp4, in which every group of pictures brings its own index; what is lost of
it is the group that was being written. LeRobot's group has two pictures. For good it becomes a
plain mp4 as LeRobot writes it, by copying its packets.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from lerobot.configs import RGBEncoderConfig
from numpy.typing import NDArray

from agent.policy.atomic import sync
from agent.recorder.scheduling import no_realtime
from robots.errors import DataError

# FFmpeg and x264 tell a page about every file otherwise.
av.logging.set_level(av.logging.ERROR)

_BOX = struct.Struct("!I4s")
_LONG_LENGTH = struct.Struct("!Q")
_LONG = 1
"""Of a box's length: the true one, of 8 bytes, follows its kind."""

_FRAGMENTED = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    # What the muxer has is the kernel's at once: a killed process loses none of it.
    "flush_packets": "1",
}


class VideoFile:
    """Encodes one camera's pictures with LeRobot's settings.

    Args:
        path: A new file.
        settings: LeRobot's.
        fps: Pictures are stamped by their number.
        width, height: Of the video; smaller pictures are enlarged.
        threads: Of the encoder; 0: it decides.

    Raises:
        OSError, ValueError: it can't be opened, or the encoder doesn't start.
    """

    def __init__(
        self,
        path: Path,
        settings: RGBEncoderConfig,
        fps: int,
        width: int,
        height: int,
        *,
        threads: int,
    ) -> None:
        self.path = path
        self._container = av.open(str(path), "w", options=dict(_FRAGMENTED))
        options = settings.get_codec_options(threads or None, as_strings=True)
        stream = self._container.add_stream(settings.vcodec, fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt, stream.width, stream.height = settings.pix_fmt, width, height
        self._period = stream.time_base = Fraction(1, fps)
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._last: av.VideoFrame | None = None
        self._count = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """(h, w, 3), RGB, of any size."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        stream = self._stream
        self._last = self._reformatter.reformat(frame, stream.width, stream.height, stream.pix_fmt)
        self._encode(self._last)

    def again(self) -> None:
        """The picture before once more."""
        assert self._last is not None
        self._encode(self._last)

    def to_disk(self) -> None:
        """What has been encoded survives a power cut."""
        # There is no file before the first packet, and an encoder may look a second ahead.
        with contextlib.suppress(FileNotFoundError):
            sync(self.path)

    def close(self) -> None:
        """Flush the encoder and close the file."""
        try:
            if self._count:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def _encode(self, frame: av.VideoFrame) -> None:
        frame.pts, frame.time_base = self._count, self._period
        self._count += 1
        self._container.mux(self._stream.encode(frame))
        if self._count == 1:
            # The first picture has opened the encoder.
            no_realtime()


def trim(path: Path) -> None:
    """Cut off what is left of a group that was being written: FFmpeg refuses a file for it."""
    whole = 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        at = 0
        while at + _BOX.size <= size:
            file.seek(at)
            length, kind = _BOX.unpack(file.read(_BOX.size))
            if length == _LONG:
                (length,) = _LONG_LENGTH.unpack(file.read(_LONG_LENGTH.size).ljust(8, b"\0"))
            at += length
            if length < _BOX.size or at > size:
                break
            if kind in (b"moov", b"mdat"):
                whole = at
        file.truncate(whole)


def pictures(path: Path, fps: int) -> Iterator[NDArray[np.uint8]]:
    """Decode a video file, as far as it goes: (H, W, 3), RGB."""
    # What is cut off is either no longer offered or can't be decoded: both end it.
    with contextlib.suppress(av.FFmpegError), av.open(str(path)) as container:
        first: int | None = None
        for number, frame in enumerate(container.decode(video=0)):
            if frame.is_corrupt or frame.pts is None or frame.time_base is None:
                return
            first = frame.pts if first is None else first
            if round((frame.pts - first) * frame.time_base * fps) != number:
                return
            yield frame.to_ndarray(format="rgb24")


def count_pictures(path: Path, fps: int) -> int:
    """How many pictures of a file can be decoded."""
    return sum(1 for _ in pictures(path, fps))


def to_plain(source: Path, target: Path, count: int, fps: int) -> None:
    """Copy the first ``count`` pictures into an mp4 as LeRobot writes it; nothing is encoded anew.

    Raises:
        DataError: it has fewer.
    """
    copied = 0
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream, opaque=True)
        copy.time_base = stream.time_base
        first: int | None = None
        for packet in read.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            assert packet.time_base is not None
            # A fragmented file can't begin before zero, so an encoder that looks ahead begins late.
            first = packet.pts if first is None else first
            packet.pts, packet.dts = packet.pts - first, packet.dts - first
            if round(packet.pts * packet.time_base * fps) >= count:
                continue
            packet.stream = copy
            written.mux(packet)
            copied += 1
    with av.open(str(target)) as plain:
        copied = min(copied, plain.streams.video[0].frames)
    if copied != count:
        raise DataError(f"{count} rows and {copied} pictures", field="video", value=source)
