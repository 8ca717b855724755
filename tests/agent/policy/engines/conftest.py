"""A tiny SmolVLA with two cameras, asked by several robots at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.policy.engines.choice import use_engine
from agent.policy.init import build_policy
from agent.policy.load import LoadedPolicy, load_policy
from tests.datasets import JOINTS

CAMERAS = {"front": (48, 64), "wrist": (64, 64)}
TASKS = ("pick up the cube", "go", "reach the red goal with the gripper, then go back home")

Batch = dict[str, Any]


@pytest.fixture(scope="session")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy folder."""
    return build_policy(
        tmp_path_factory.mktemp("engines") / "tiny",
        size="tiny",
        cameras=CAMERAS,
        action_names=JOINTS,
    )


@pytest.fixture(scope="session")
def stock(two_cameras: Path) -> LoadedPolicy:
    """LeRobot's own way; no test changes its weights."""
    return load_policy(str(two_cameras))


@pytest.fixture(scope="session")
def engines(two_cameras: Path) -> Callable[..., LoadedPolicy]:
    """The same policy with another engine, made once each."""
    made: dict[tuple[str, ...], LoadedPolicy] = {}

    def load(name: str, precision: str = "exact", *overrides: str) -> LoadedPolicy:
        key = (name, precision, *overrides)
        if key not in made:
            loaded = load_policy(str(two_cameras), overrides=overrides)
            made[key] = use_engine(loaded, name=name, precision=precision)
        return made[key]

    return load


def make_batch(
    loaded: LoadedPolicy,
    tasks: Sequence[str] = TASKS,
    *,
    cameras: Sequence[str] = tuple(CAMERAS),
    seed: int = 0,
) -> Batch:
    """What as many robots see as there are tasks, preprocessed."""
    random = np.random.default_rng(seed)
    batch: Batch = {
        "observation.state": torch.from_numpy(
            random.normal(0, 40, (len(tasks), len(JOINTS))).astype(np.float32)
        ),
        "task": list(tasks),
    }
    for key in cameras:
        pixels = random.random((len(tasks), 3, *CAMERAS[key]), np.float32)
        batch[f"observation.images.{key}"] = torch.from_numpy(pixels)
    prepared: Batch = loaded.preprocess(batch)
    return prepared


def row(batch: Batch, i: int) -> Batch:
    """One robot's part of a batch."""
    return {k: v[i : i + 1] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


def make_noise(loaded: LoadedPolicy, rows: int, seed: int = 1) -> torch.Tensor:
    shape = loaded.engine.noise_shape(rows)
    assert shape is not None
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
