"""A small data set of an emulated arm that reaches for a goal, divided among ten clients.

It is made at first use, without hub and hardware: the scene and the motion are those of
``so101_sim`` and ``scripted_reach``, computed instead of recorded.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from agent.data.federated.catalogue import Catalogue, DataEntry
from agent.data.federated.catalogue_file import write_catalogue
from agent.data.split import split
from robots.errors import ConfigError

CLIENTS = 10
_EPISODES_EACH = 4
_FRAMES = 24
_FPS = 10
_SIZE = (96, 96)
_CAMERA = "observation.images.front"
_TASK = "reach the red goal"
_SEED = 20
_VERSION = 1
"""Of what is made; another one has a folder of its own."""


def demo_data() -> Path:
    """Its ``datasets.yaml``, in this user's cache.

    Raises:
        ConfigError: it can't be written, or Flower Datasets isn't installed.
    """
    cache = Path(platformdirs.user_cache_dir("armada"))
    folder = cache / f"simulation-{_VERSION}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / ".simulation.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "datasets.yaml").is_file():
                _make(folder)
    except OSError as error:
        raise ConfigError(
            f"the embedded data can't be written ({error.strerror})",
            field="data",
            value=folder,
            remedy="Name a datasets.yaml, or set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return folder / "datasets.yaml"


def _make(folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir()
    _record(partial / "reach", CLIENTS * _EPISODES_EACH)
    write_catalogue(_divide(partial / "reach"), partial / "datasets.yaml")
    partial.rename(folder)


def _record(root: Path, episodes: int) -> None:
    # Imported here: who has data of his own needs none of it.
    from datasets import disable_progress_bars, enable_progress_bars
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from robots.arm.smooth import minimum_jerk
    from robots.emulator import joints
    from robots.emulator.world import World
    from robots.sim.scene import draw

    names = [f"{name}.pos" for name in joints.NAMES]
    vector = {"dtype": "float32", "shape": (len(names),), "names": names}
    image = {"dtype": "image", "shape": (*_SIZE, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        "local/reach",
        _FPS,
        {"observation.state": vector, "action": vector, _CAMERA: image},
        root=root,
        robot_type="so101_follower",
        use_videos=False,
    )
    rng = np.random.default_rng(_SEED)
    low, high = joints.limits()
    middle, span = (low + high) / 2, (high - low) / 2 * joints.GOAL_SPAN

    def units(ticks: NDArray[np.float64]) -> NDArray[np.float32]:
        values = joints.to_robot_units(ticks, degrees=False)
        return np.array([values[name] for name in names], np.float32)

    # One for each episode says nothing to anybody.
    disable_progress_bars()
    for _ in range(episodes):
        start, goal = (middle + span * rng.uniform(-1, 1, len(names)) for _ in range(2))
        path = [start + (goal - start) * minimum_jerk(i / _FRAMES) for i in range(_FRAMES + 1)]
        for i in range(_FRAMES):
            world = World(path[i], goal, 0, 0, i / _FPS)
            dataset.add_frame(
                {
                    "observation.state": units(path[i]),
                    "action": units(path[i + 1]),
                    _CAMERA: draw(world, _SIZE),
                    "task": _TASK,
                }
            )
        dataset.save_episode()
    dataset.finalize()
    enable_progress_bars()


def _divide(root: Path) -> Catalogue:
    try:
        from agent.data.federated.partitioner import LeRobotDatasetPartitioner
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Flower Datasets isn't installed", field="data", remedy="pip install 'armada[sim]'"
        ) from error
    from agent.data.open import open_info

    info = open_info(root)
    parts = LeRobotDatasetPartitioner.by_episode(CLIENTS).divide(info.episodes)
    entries = []
    for i, numbers in enumerate(parts):
        train, held = ([numbers[k] for k in half] for half in split(len(numbers)))
        entries.append(
            DataEntry(
                name=f"client-{i + 1:02d}",
                dataset=root.name,
                episodes=len(info.episodes),
                frames=info.frames,
                train=tuple(train),
                evaluation=tuple(held),
            )
        )
    return Catalogue(clients=tuple(entries))
