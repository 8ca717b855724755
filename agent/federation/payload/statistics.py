"""Statistics of states and actions that add up: each robot's count, sums and sums of squares.

From them the server has mean and standard deviation as over the union of all robots' frames, which
a mean of the robots' means and deviations is not. Nothing is said of single frames, nor of
pictures: SmolVLA leaves those as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from lerobot.utils.constants import ACTION, OBS_STATE
from numpy.typing import NDArray

from agent.data.check.rows import read_rows
from agent.data.open import open_info
from robots.errors import DataError, FederationError

FEATURES = (OBS_STATE, ACTION)
_MOST_NUMBERS = 1024
_MOST_FRAMES = 10**8
"""A robot's: 900 h at 30 a second. Up to this it is believed, as with the frames of an update."""
_LARGEST = 1e6
"""Of a state or an action, in whatever unit; a normaliser of fp32 numbers has room for it."""
_SLACK = 1e-9
"""Relative; sums of fp64 numbers end in rounding."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Of one feature, number by number.

    Args:
        count: Frames.
        total: Their sum.
        squares: Sum of their squares.
        lowest: Smallest.
        highest: Largest.
    """

    count: int
    total: list[float]
    squares: list[float]
    lowest: list[float]
    highest: list[float]


Statistics = dict[str, Sums]
"""By feature, under the policy's keys."""


def gather(root: Path, episodes: Sequence[int], rename_map: Mapping[str, str]) -> Statistics:
    """Statistics of some of a robot's episodes, in fp64; of their frames that are trained on.

    Args:
        root: The data set.
        episodes: Which; those that it trains on.
        rename_map: Robot keys to policy keys.

    Raises:
        DataError: the data set can't be read, or lacks an episode or a feature.
    """
    info = open_info(root)
    known = {episode.index: episode for episode in info.episodes}
    names = {rename_map.get(key, key): key for key in info.features}
    cache: dict[Path, pa.Table] = {}
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FEATURES}
    for index in episodes:
        if index not in known:
            raise DataError("there is no such episode", field="dataset", value=f"{root} #{index}")
        try:
            rows = read_rows(known[index], cache).without_faults()
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"can't be read: {error}", field="dataset", value=root) from error
        for name in FEATURES:
            vector = rows.vector(names.get(name, ""))
            if not vector.size or not np.isfinite(vector).all():
                raise DataError(f"has no finite {name}", field="dataset", value=f"{root} #{index}")
            parts[name].append(vector.astype(np.float64))
    if not episodes:
        raise DataError("there are no episodes to know statistics of", field="dataset", value=root)
    return {name: _sums(np.concatenate(parts[name])) for name in FEATURES}


def pool(robots: Sequence[Statistics]) -> dict[str, dict[str, list[float]]]:
    """Mean, deviation, extremes and count as over all frames of all robots, whatever their order.

    Args:
        robots: What :func:`from_json` let pass; at least one.

    Returns:
        As LeRobot's processors take them; JSON can hold it.

    Raises:
        FederationError: the robots' features have other numbers of numbers.
    """
    return {name: _pool(name, [robot[name] for robot in robots]) for name in FEATURES}


def to_json(statistics: Statistics) -> str:
    return json.dumps({name: asdict(sums) for name, sums in statistics.items()}, allow_nan=False)


def from_json(text: str) -> Statistics:
    """Check what a robot said of itself; a server believes nothing else.

    Raises:
        FederationError: a feature is missing or unknown, or its numbers can't be those of frames.
    """
    values = _object(text, FEATURES)
    statistics = {}
    for name in FEATURES:
        try:
            sums = Sums(**values[name])
        except TypeError as error:
            raise _wrong(name, str(error)) from error
        if type(sums.count) is not int or not 0 < sums.count <= _MOST_FRAMES:
            raise _wrong(name, "must have a count of frames")
        columns = [_numbers(name, v) for v in (sums.total, sums.squares, sums.lowest, sums.highest)]
        if len({len(column) for column in columns}) != 1:
            raise _wrong(name, "has columns of different length")
        if max(map(abs, columns[2] + columns[3])) > _LARGEST:
            raise _wrong(name, f"is beyond {_LARGEST:g}, where no joint is")
        for total, squares, lowest, highest in zip(*columns, strict=True):
            mean = total / sums.count
            slack = _SLACK * max(abs(lowest), abs(highest), 1e-30)
            largest = sums.count * max(lowest**2, highest**2)
            if not (
                lowest - slack <= mean <= highest + slack
                and sums.count * mean**2 <= squares * (1 + _SLACK) + _SLACK
                and squares <= largest * (1 + _SLACK)
            ):
                raise _wrong(name, "holds sums that no frames have")
        statistics[name] = sums
    if len({sums.count for sums in statistics.values()}) != 1:
        raise _wrong(FEATURES[0], f"is of other frames than {FEATURES[1]}")
    return statistics


def normaliser(text: str) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Check pooled statistics that came with an order.

    Args:
        text: :func:`pool` as JSON.

    Returns:
        As LeRobot's processors take them.

    Raises:
        FederationError: they are none.
    """
    values = _object(text, FEATURES)
    stats: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name in FEATURES:
        columns = _object(values[name], ("mean", "std", "min", "max", "count"), name)
        stats[name] = {key: np.asarray(_numbers(name, v)) for key, v in columns.items()}
        widths = {len(v) for key, v in stats[name].items() if key != "count"}
        if len(widths) != 1 or (stats[name]["std"] < 0).any():
            raise _wrong(name, "is no normaliser")
    return stats


def _sums(frames: NDArray[np.float64]) -> Sums:
    return Sums(
        count=len(frames),
        total=frames.sum(axis=0).tolist(),
        squares=np.square(frames).sum(axis=0).tolist(),
        lowest=frames.min(axis=0).tolist(),
        highest=frames.max(axis=0).tolist(),
    )


def _pool(name: str, robots: Sequence[Sums]) -> dict[str, list[float]]:
    widths = sorted({len(robot.total) for robot in robots})
    if len(widths) != 1:
        raise _wrong(name, f"has {widths[0]} numbers on one robot and {widths[-1]} on another")
    count = sum(robot.count for robot in robots)
    # fsum rounds once, at the end: robots that answer in another order change nothing.
    mean = [math.fsum(column) / count for column in zip(*(r.total for r in robots), strict=True)]
    square = [
        math.fsum(column) / count for column in zip(*(r.squares for r in robots), strict=True)
    ]
    return {
        "mean": mean,
        "std": [math.sqrt(max(s - m * m, 0.0)) for s, m in zip(square, mean, strict=True)],
        "min": [min(column) for column in zip(*(r.lowest for r in robots), strict=True)],
        "max": [max(column) for column in zip(*(r.highest for r in robots), strict=True)],
        "count": [count],
    }


def _object(said: Any, names: Sequence[str], where: str = "statistics") -> dict[str, Any]:
    """A JSON object, or the text of one, of exactly these names."""
    try:
        values = json.loads(said) if isinstance(said, str) else said
    except (ValueError, RecursionError) as error:
        raise _wrong(where, "is no JSON") from error
    if not isinstance(values, dict) or values.keys() != set(names):
        raise _wrong(where, f"must be an object of {', '.join(names)}")
    return values


def _numbers(name: str, values: Any) -> list[float]:
    if (
        not isinstance(values, list)
        or not 0 < len(values) <= _MOST_NUMBERS
        # A comparison takes an integer of any length, and NaN passes none.
        or not all(type(v) in (int, float) and abs(v) <= 1e100 for v in values)
    ):
        raise _wrong(name, "must be a list of finite numbers")
    return [float(v) for v in values]


def _wrong(name: str, what: str) -> FederationError:
    return FederationError(what, field=f"statistics.{name}")
