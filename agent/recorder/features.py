"""From a robot's layout to LeRobot's features, and whether a data set has the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lerobot.utils.constants import DEFAULT_FEATURES

from agent.ipc import FrameLayout
from agent.recorder.marks import mark_features
from robots.errors import DataError
from robots.replay.info import CONVERTER, VERSION

IMAGES = "observation.images."
_REMEDY = "Name another --dataset.root, or remove that data set"


def features(layout: FrameLayout, *, video: bool) -> dict[str, dict[str, Any]]:
    """LeRobot's description of what is recorded each tick."""
    return _learned_from(layout, video=video) | mark_features(layout)


def _learned_from(layout: FrameLayout, *, video: bool) -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {
        "observation.state": _vector(layout.state_names),
        "action": _vector(layout.action_names),
    }
    for image in layout.images:
        described[IMAGES + image.key] = {
            "dtype": "video" if video else "image",
            "shape": image.shape,
            "names": ["height", "width", "channels"],
        }
    return described


def _vector(names: tuple[str, ...]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": (len(names),), "names": list(names)}


def check_sizes(layout: FrameLayout, *, video: bool) -> None:
    """Whether the cameras' pictures can be encoded.

    Raises:
        DataError: a video codec (4:2:0) refuses an odd width or height, in mid-episode.
    """
    for image in layout.images if video else ():
        if image.height % 2 or image.width % 2:
            raise DataError(
                f"video needs even sizes, this camera has {image.width}×{image.height}",
                field="--robot.cameras",
                value=image.key,
                remedy="Give another size, or --dataset.video=false",
            )


def check_dataset(root: Path, layout: FrameLayout, fps: int, *, video: bool = True) -> None:
    """Whether episodes of this robot can be added to what is at ``root``.

    Raises:
        DataError: it is something else, or differs; names the feature.
    """
    path = root / "meta" / "info.json"
    if not root.exists() or not any(root.iterdir()):
        return
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        existing = info["features"]
        recorded_fps = info["fps"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            "there is something that is no LeRobot data set",
            field="--dataset.root",
            value=root,
            remedy="Name another --dataset.root",
        ) from error
    if info.get("codebase_version") != VERSION:
        raise DataError(
            f"the data set has format {info.get('codebase_version')}, this records {VERSION}",
            field="--dataset.root",
            value=root,
            remedy=f"Convert it: {CONVERTER} --repo-id=NAME --root={root} --push-to-hub=false",
        )
    if recorded_fps != fps:
        raise DataError(
            f"the data set has {recorded_fps} fps, this run {fps}",
            field="--dataset.root",
            value=root,
            remedy=_REMEDY,
        )
    recorded = features(layout, video=video)
    # A set from before there were marks goes on without those that it lacks.
    needed = _learned_from(layout, video=video).keys()
    for key in sorted(needed | (existing.keys() - DEFAULT_FEATURES.keys())):
        theirs, ours = _essence(existing.get(key)), _essence(recorded.get(key))
        if theirs != ours:
            raise DataError(
                f"its {key} is {theirs}, this robot's {ours}",
                field="--dataset.root",
                value=root,
                remedy=_REMEDY,
            )


def _essence(feature: dict[str, Any] | None) -> Any:
    if feature is None:
        return "absent"
    return (feature["dtype"], list(feature["shape"]), list(feature["names"] or []))
