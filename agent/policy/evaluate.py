"""How far a policy's actions are from a recording: the open-loop action error.

At every ``n_action_steps``-th frame of an episode the policy is asked for a chunk, whose actions
are compared with those recorded at the same frames. The policy never sees what its own actions
would have led to, so a small error is no promise of success; of two sets of weights on the same
episodes it says which one is nearer to what the operator did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray

from agent.data.open import open_dataset
from agent.ipc import FrameLayout, ImageSpec
from agent.policy.fit import action_names, check_fit
from agent.policy.load import LoadedPolicy
from agent.policy.predict import Ask, predict_chunks, remember
from robots.errors import DataError, ModelError

_IMAGES = "observation.images."
_SMALLEST_RANGE = 10.0
"""A joint that moves less than this in all the data, 5 % of −100..100 or 10°, is taken to move this
much: in parts of its true range, one that stands still would outweigh all others."""


@dataclass(frozen=True, kw_only=True)
class EpisodeError:
    """The result for one episode.

    Args:
        episode: Its index.
        frames: How many there are.
        error: Mean absolute error over frames and joints, in parts of each joint's range.
        by_joint: Action name → mean absolute error in the robot's units.
        share_by_joint: Action name → the same in parts of the joint's range.
        latencies_s: Seconds of each chunk, processors included.
        predicted: (frames, A) the policy's actions.
        ranges: (A,) the joints' ranges.
    """

    episode: int
    frames: int
    error: float
    by_joint: dict[str, float]
    share_by_joint: dict[str, float]
    latencies_s: tuple[float, ...] = field(repr=False)
    predicted: NDArray[np.float32] = field(repr=False, compare=False)
    ranges: NDArray[np.float64] = field(repr=False, compare=False)


def open_loop_error(
    loaded: LoadedPolicy,
    dataset: str | Path,
    episodes: Sequence[int] | None = None,
    *,
    rename_map: Mapping[str, str] | None = None,
    seed: int = 0,
    measured: Callable[[], None] = lambda: None,
) -> list[EpisodeError]:
    """Measure a policy on recorded episodes.

    The noise of each chunk follows from ``seed`` and the frame, so two policies meet the same, and
    a result repeats bit for bit on the same machine.

    Args:
        loaded: The policy.
        dataset: Folder or hub id of a data set.
        episodes: Which episodes; ``None``: all.
        rename_map: Keys of the data set to keys of the policy.
        seed: Of the noise.
        measured: Called after each episode: many of them take long on a small host.

    Raises:
        DataError: the data set can't be read or has no such episode.
        ModelError: the policy doesn't fit the data set, or its actions are not finite.
    """
    # A subset is read from the whole: LeRobot opens that without rewriting the index.
    recording = open_dataset(dataset)
    total = recording.meta.total_episodes
    chosen = list(range(total)) if episodes is None else list(episodes)
    for episode in chosen:
        if not 0 <= episode < total:
            raise DataError(
                f"there is no such episode, there are {total}", field="--episodes", value=episode
            )
    layout = dataset_layout(recording, action_names(loaded.config))
    check_fit(loaded.config, layout, rename_map or {}, of="the data set")
    results = []
    for episode in chosen:
        results.append(_episode_error(loaded, recording, layout, episode, rename_map, seed))
        measured()
    return results


def deviation(one: Sequence[EpisodeError], other: Sequence[EpisodeError]) -> float:
    """How far two ways to compute the same chunks are from one another: mean absolute difference
    of their actions over frames and joints, in parts of each joint's range."""
    return float(
        np.mean(
            [
                (np.abs(a.predicted - b.predicted) / a.ranges).mean()
                for a, b in zip(one, other, strict=True)
            ]
        )
    )


def dataset_layout(
    recording: LeRobotDataset, default_names: Sequence[str] | None = None
) -> FrameLayout:
    """The features of a data set as those of a robot.

    Args:
        recording: The data set.
        default_names: Names of the actions, where the data set has none.
    """
    features = recording.features
    return FrameLayout(
        state_names=_names(features["observation.state"], None),
        action_names=_names(features["action"], default_names),
        images=tuple(
            ImageSpec(key.removeprefix(_IMAGES), *_height_width(feature))
            for key, feature in features.items()
            if key.startswith(_IMAGES)
        ),
    )


def _episode_error(
    loaded: LoadedPolicy,
    recording: LeRobotDataset,
    layout: FrameLayout,
    episode: int,
    rename_map: Mapping[str, str] | None,
    seed: int,
) -> EpisodeError:
    row = recording.meta.episodes[episode]
    first, end = int(row["dataset_from_index"]), int(row["dataset_to_index"])
    recorded = np.stack(recording.hf_dataset.select_columns("action")[first:end]["action"])
    step = int(getattr(loaded.config, "n_action_steps", 0)) or len(recorded)
    predicted, latencies = [], []
    at = 0
    while at < len(recorded):
        loaded.engine.forget("")
        for back in range(loaded.engine.looks_back - 1, 0, -1):
            before = _ask(recording[first + max(0, at - back)], layout)
            remember(loaded, before, rename_map=rename_map)
        asked = _ask(recording[first + at], layout, seed=seed + 1_000_003 * episode + at)
        (answer,) = predict_chunks(loaded, [asked], rename_map=rename_map)
        chunk, timings = answer.chunk, answer.timings
        if not np.isfinite(chunk).all():
            raise ModelError(
                f"its actions at frame {at} of episode {episode} are not finite", field="policy"
            )
        # The last chunk is compared as far as the episode goes.
        part = chunk[: min(step, len(recorded) - at)]
        predicted.append(part)
        latencies.append(sum(timings.values()))
        at += len(part)
    actions, ranges = np.concatenate(predicted), _ranges(recording)
    by_joint = np.abs(actions - recorded).mean(axis=0)
    share = by_joint / ranges
    return EpisodeError(
        episode=episode,
        frames=len(recorded),
        error=float(share.mean()),
        by_joint=_named(layout, by_joint),
        share_by_joint=_named(layout, share),
        latencies_s=tuple(latencies),
        predicted=actions,
        ranges=ranges,
    )


def _ask(frame: Mapping[str, Any], layout: FrameLayout, seed: int | None = None) -> Ask:
    return Ask(
        state=frame["observation.state"].numpy(),
        images={image.key: _pixels(frame[_IMAGES + image.key]) for image in layout.images},
        task=frame["task"],
        seed=seed,
    )


def _ranges(recording: LeRobotDataset) -> NDArray[np.float64]:
    stats = recording.meta.stats["action"]
    low, high = ("q01", "q99") if "q01" in stats and "q99" in stats else ("min", "max")
    spread = np.asarray(stats[high], np.float64) - np.asarray(stats[low], np.float64)
    return np.maximum(spread.reshape(-1), _SMALLEST_RANGE)


def _named(layout: FrameLayout, values: NDArray[Any]) -> dict[str, float]:
    return {name: float(v) for name, v in zip(layout.action_names, values, strict=True)}


def _names(feature: Mapping[str, Any], default: Sequence[str] | None) -> tuple[str, ...]:
    names = feature.get("names")
    if isinstance(names, Mapping):
        # Older data sets group them: {"motors": ["shoulder_pan", …]}.
        names = [name for group in names.values() for name in group]
    size = int(feature["shape"][0])
    if not names or len(names) != size:
        names = default if default is not None and len(default) == size else map(str, range(size))
    return tuple(names)


def _height_width(feature: Mapping[str, Any]) -> tuple[int, int]:
    shape = list(feature["shape"])
    return (shape[1], shape[2]) if shape[0] in (1, 3) else (shape[0], shape[1])


def _pixels(image: Any) -> NDArray[np.uint8]:
    """LeRobot's (3, H, W) in 0..1 as a camera gives it: what the policy gets when it runs."""
    pixels: NDArray[np.uint8] = (
        (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    )
    return pixels
