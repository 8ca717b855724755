"""The frames of one episode: numbers at once, pictures decoded ahead.

LeRobot decodes; a thread of its own keeps a second or two of pictures ready, so that whoever asks
for the next frame doesn't wait for a codec.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from robots.errors import DataError
from robots.replay.info import DatasetInfo

_AHEAD = 32
"""Frames decoded in one go: 30 MB for a 640×480 camera."""

Images = dict[str, NDArray[np.uint8]]


class EpisodeFrames:
    """One episode, read in order (or not: a jump costs a decode).

    Args:
        dataset: The data set.
        index: The episode.
        cameras: Short names of the cameras to decode; ``None``: all.

    Attributes:
        state: (N, S) float32; action: (N, A) float32; time_s: (N,) nominal times.
    """

    def __init__(
        self, dataset: DatasetInfo, index: int, cameras: tuple[str, ...] | None = None
    ) -> None:
        self._dataset = dataset
        self._episode = dataset.episode(index)
        keys = {k.removeprefix("observation.images."): k for k in dataset.features}
        wanted = dataset.cameras if cameras is None else cameras
        self._keys = {name: keys[name] for name in wanted}
        table = pq.read_table(self._episode.data)
        table = table.filter(pc.equal(table["episode_index"], index))
        if table.num_rows != self._episode.length:
            raise DataError(
                f"episode {index} has {table.num_rows} rows and claims {self._episode.length}",
                field="dataset",
                value=self._episode.data,
            )
        self._table = table
        self.state = _vectors(table, "observation.state")
        self.action = _vectors(table, "action")
        self.time_s = np.asarray(table["timestamp"].to_numpy(), float)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._blocks: dict[int, Future[list[Images]]] = {}
        self._keep = False

    def __len__(self) -> int:
        return self._episode.length

    @property
    def task(self) -> str:
        return self._episode.tasks[0] if self._episode.tasks else ""

    def images(self, frame: int) -> Images:
        """Camera → uint8 (H, W, 3) of one frame; starts decoding what comes after."""
        if not self._keys:
            return {}
        block = frame // _AHEAD
        for wanted in (block, block + 1):
            if wanted not in self._blocks and wanted * _AHEAD < len(self):
                self._blocks[wanted] = self._pool.submit(self._decode, wanted)
        for passed in [b for b in self._blocks if b < block and not self._keep]:
            del self._blocks[passed]
        return self._blocks[block].result()[frame % _AHEAD]

    def decode_all(self) -> None:
        """Decode every picture now and keep it: what plays later waits for no codec."""
        self._keep = True
        for first in range(0, len(self), _AHEAD):
            self.images(first)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _decode(self, block: int) -> list[Images]:
        frames = range(block * _AHEAD, min((block + 1) * _AHEAD, len(self)))
        decoded = {name: self._decode_camera(key, frames) for name, key in self._keys.items()}
        return [{name: d[i] for name, d in decoded.items()} for i in range(len(frames))]

    def _decode_camera(self, key: str, frames: range) -> Any:
        span = self._episode.videos.get(key)
        if span is None:  # pictures in the parquet file
            cells = self._table[key].slice(frames.start, len(frames)).to_pylist()
            return [np.asarray(Image.open(BytesIO(c["bytes"])).convert("RGB")) for c in cells]
        # Imported here: LeRobot's video utilities bring torch, the metadata above doesn't.
        from lerobot.datasets.video_utils import decode_video_frames

        times = [span.start_s + i / self._dataset.fps for i in frames]
        tolerance_s = 0.5 / self._dataset.fps
        try:
            tensor = decode_video_frames(span.path, times, tolerance_s, return_uint8=True)
        except (OSError, RuntimeError, AssertionError, ValueError, IndexError) as error:
            raise DataError(
                f"a video can't be decoded: {error}", field="dataset", value=span.path
            ) from error
        return np.ascontiguousarray(tensor.permute(0, 2, 3, 1).numpy())


def _vectors(table: Any, name: str) -> NDArray[np.float32]:
    column = table[name].combine_chunks()
    flat = np.asarray(column.flatten().to_numpy(), np.float32)
    return flat.reshape(table.num_rows, -1)
