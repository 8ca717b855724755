"""The policy of all contenders: SmolVLA with random weights, the same folder for everybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agent.policy.init import Size, build_policy
from benchmarks.inference.job import CHUNK
from benchmarks.inference.pictures import CAMERAS, SIZE
from robots.emulator import joints

_SPREAD = 1.5
"""Standard deviation of the actions around the middle of the ranges, in the robot's units: random
weights give noise, and with this much nobody's limits cut it."""

_ACTIONS = tuple(f"{name}.pos" for name in joints.NAMES)


_TRUE_BOX = (512, 512)
"""Pixels that a true-size SmolVLA looks at."""


def make_policy(folder: Path, size: Size, seed: int = 0, *, looks_closely: bool = False) -> Path:
    """Build it; true size takes half a minute, 1.8 GB, and the hub or its cache.

    Args:
        folder: To make.
        size: Of the weights.
        seed: Of the weights.
        looks_closely: Have a tiny one look at pictures in true size.
    """
    low, high = joints.limits()
    middle = joints.to_robot_units((low + high) / 2, degrees=True)
    mean = np.array([middle[name] for name in _ACTIONS], np.float32)
    feature: dict[str, Any] = {
        "mean": mean,
        "std": np.full(len(mean), _SPREAD, np.float32),
        "min": mean - 100,
        "max": mean + 100,
        "count": np.array([1]),
    }
    build_policy(
        folder,
        size=size,
        cameras=dict.fromkeys(CAMERAS, SIZE),
        action_names=_ACTIONS,
        stats={"observation.state": feature, "action": feature},
        seed=seed,
    )
    # The weights don't depend on the length of a chunk.
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"chunk_size": CHUNK, "n_action_steps": CHUNK}
    if looks_closely:
        config |= {"resize_imgs_with_padding": _TRUE_BOX, "num_steps": 1}
    path.write_text(json.dumps(config, indent=2))
    return folder
