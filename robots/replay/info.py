"""What a LeRobot data set says of itself: read and checked without torch and without a hub.

Format: LeRobot v3.0 (``meta/info.json``, ``meta/episodes/…parquet``, ``meta/tasks.parquet``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robots.errors import DataError

VERSION = "v3.0"
CONVERTER = "python -m lerobot.scripts.convert_dataset_v21_to_v30"


@dataclass(frozen=True)
class VideoSpan:
    """Where one episode of one camera lies.

    Args:
        path: The video file.
        start_s: Time of the episode's first frame in it.
    """

    path: Path
    start_s: float


@dataclass(frozen=True)
class EpisodeInfo:
    """One episode.

    Args:
        index: Its number in the data set.
        length: Frames.
        tasks: Its tasks in words.
        data: The parquet file that holds its rows.
        videos: Video feature → where its frames are.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, VideoSpan]


@dataclass(frozen=True)
class DatasetInfo:
    """A data set.

    Args:
        root: Its folder.
        fps: Nominal frames per second.
        robot_type: As recorded; may be empty.
        features: Feature name → LeRobot's description.
        episodes: In order.
    """

    root: Path
    fps: int
    robot_type: str
    features: Mapping[str, Mapping[str, Any]]
    episodes: tuple[EpisodeInfo, ...]

    @property
    def frames(self) -> int:
        return sum(episode.length for episode in self.episodes)

    @property
    def cameras(self) -> dict[str, tuple[int, int, int]]:
        """Short camera name (``wrist``) → (height, width, channels)."""
        return {
            name.removeprefix("observation.images."): self._image_shape(feature)
            for name, feature in self.features.items()
            if feature["dtype"] in ("video", "image")
        }

    def names(self, feature: str) -> tuple[str, ...]:
        """Names of a vector feature's components; numbered where the data set has none."""
        described = self.features[feature]
        names = described.get("names")
        if isinstance(names, Mapping):
            names = [n for group in names.values() for n in group]
        size = described["shape"][0]
        if not names or len(names) != size:
            return tuple(f"{feature}_{i}" for i in range(size))
        return tuple(names)

    def episode(self, index: int) -> EpisodeInfo:
        """One episode by its number.

        Raises:
            DataError: there is no such episode.
        """
        for episode in self.episodes:
            if episode.index == index:
                return episode
        raise DataError(
            "there is no such episode",
            field="episode",
            value=index,
            remedy=f"{self.root} has episodes 0 to {len(self.episodes) - 1}",
        )

    @staticmethod
    def _image_shape(feature: Mapping[str, Any]) -> tuple[int, int, int]:
        shape = list(feature["shape"])
        names = list(feature.get("names") or ("height", "width", "channels"))
        if names[0].startswith("channel"):  # older recordings name (C, H, W)
            shape = [shape[1], shape[2], shape[0]]
        return (shape[0], shape[1], shape[2])


@dataclass(frozen=True)
class Claims:
    """What ``meta/info.json`` says of the whole.

    Args:
        episodes, frames: How many.
    """

    episodes: int
    frames: int


def read_info(root: Path) -> DatasetInfo:
    """Read a local data set's metadata and check that the files it names are there.

    Raises:
        DataError: no data set, another version, unreadable metadata, or a missing or damaged file;
            names the file.
    """
    dataset, claims = read_claims(root)
    if len(dataset.episodes) != claims.episodes:
        raise DataError(
            f"meta/info.json claims {claims.episodes} episodes, meta/episodes has "
            f"{len(dataset.episodes)}",
            field="dataset",
            value=root,
            remedy="The recording was cut off; record with `armada run`, which can't lose episodes",
        )
    if dataset.frames != claims.frames:
        raise DataError(
            f"meta/info.json claims {claims.frames} frames, its episodes have {dataset.frames}",
            field="dataset",
            value=root,
        )
    check_files(dataset, [episode.index for episode in dataset.episodes])
    return dataset


def read_claims(root: Path) -> tuple[DatasetInfo, Claims]:
    """Read a local data set's metadata, whether or not the rest agrees with it.

    Raises:
        DataError: no data set, another version, or metadata that can't be read.
    """
    info = _read_json(root)
    version = info.get("codebase_version")
    if version != VERSION:
        raise DataError(
            f"the data set has format {version}, this needs {VERSION}",
            field="dataset",
            value=root,
            remedy=f"Convert it: {CONVERTER} --repo-id=NAME --root={root} --push-to-hub=false",
        )
    try:
        features = info["features"]
        videos = [name for name, f in features.items() if f["dtype"] == "video"]
        dataset = DatasetInfo(
            root=root,
            fps=int(info["fps"]),
            robot_type=str(info.get("robot_type") or ""),
            features=features,
            episodes=tuple(_episode(root, info, row, videos) for row in _episode_rows(root)),
        )
        return dataset, Claims(info["total_episodes"], info["total_frames"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"its metadata is incomplete ({type(error).__name__}: {error})",
            field="dataset",
            value=root,
        ) from error


def _read_json(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            "isn't a LeRobot data set: it has no meta/info.json",
            field="dataset",
            value=root,
            remedy="Name the folder that holds meta/, data/ and videos/",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"can't be read ({error})", field="dataset", value=path) from error
    return data


def _episode_rows(root: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        schema = _parquet(path).schema_arrow
        columns = [name for name in schema.names if not name.startswith("stats/")]
        rows += pq.read_table(path, columns=columns).to_pylist()
    return sorted(rows, key=lambda row: row["episode_index"])


def _episode(
    root: Path, info: dict[str, Any], row: dict[str, Any], videos: list[str]
) -> EpisodeInfo:
    data = info["data_path"].format(
        chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
    )
    spans = {}
    for key in videos:
        path = info["video_path"].format(
            video_key=key,
            chunk_index=row[f"videos/{key}/chunk_index"],
            file_index=row[f"videos/{key}/file_index"],
        )
        spans[key] = VideoSpan(root / path, float(row[f"videos/{key}/from_timestamp"]))
    return EpisodeInfo(
        index=int(row["episode_index"]),
        length=int(row["length"]),
        tasks=tuple(row["tasks"]),
        data=root / data,
        videos=spans,
    )


def check_files(dataset: DatasetInfo, episodes: Collection[int]) -> None:
    """Check that the files of some episodes are there and hold what is claimed.

    Raises:
        DataError: one is missing or damaged; names it.
    """
    wanted = [episode for episode in dataset.episodes if episode.index in episodes]
    if wanted:
        _parquet(dataset.root / "meta" / "tasks.parquet")
    rows = dict.fromkeys((episode.data for episode in wanted), 0)
    for episode in dataset.episodes:
        if episode.data in rows:
            rows[episode.data] += episode.length
    for path, claimed in sorted(rows.items()):
        found = _parquet(path).metadata.num_rows
        if found != claimed:
            raise DataError(
                f"it has {found} rows, the episodes in it claim {claimed}",
                field="dataset",
                value=path,
            )
    for path in sorted({span.path for e in wanted for span in e.videos.values()}):
        if not path.is_file():
            raise DataError(
                "a video file is missing",
                field="dataset",
                value=path,
                remedy="Copy or download the data set again, videos included",
            )


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError("a data file is missing", field="dataset", value=path) from error
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            "a data file is damaged (no parquet footer: the recording was cut off)",
            field="dataset",
            value=path,
        ) from error
