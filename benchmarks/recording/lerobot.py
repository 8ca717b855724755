"""LeRobot's recorder: what ``lerobot-record`` does with its data set, in its order, with its
streaming encoder and the same encoder settings as ours (its default, AV1, is slower)."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from benchmarks.recording.scene import FPS, JOINTS, TASK, Scene


def open_dataset(root: Path, scene: Scene, *, threads: int | None = None) -> LeRobotDataset:
    """Create it or go on with it, as ``lerobot-record`` and ``--resume=true``."""
    options: dict[str, Any] = {
        "root": root,
        "streaming_encoding": True,
        "rgb_encoder": RGBEncoderConfig(vcodec="h264", crf=23, preset="ultrafast"),
        "encoder_threads": threads,
    }
    if (root / "meta" / "info.json").is_file():
        return LeRobotDataset.resume("local/theirs", **options)
    vector = {"dtype": "float32", "shape": (len(JOINTS),), "names": list(JOINTS)}
    described = {
        f"observation.images.{image.key}": {
            "dtype": "video",
            "shape": image.shape,
            "names": ["height", "width", "channels"],
        }
        for image in scene.layout.images
    }
    return LeRobotDataset.create(
        "local/theirs",
        FPS,
        {"observation.state": vector, "action": vector} | described,
        robot_type="so101_follower",
        **options,
    )


def frame(scene: Scene, episode: int, i: int) -> dict[str, Any]:
    """For ``add_frame``."""
    state = scene.state(episode, i)
    images = {f"observation.images.{k}": p for k, p in scene.images(i).items()}
    return {"observation.state": state, "action": state, "task": TASK} | images


def record(
    there: Connection, root: Path, scene: Scene, first: int, frames: int, pause: int
) -> None:
    """Record episode after episode until killed; tells each row and each episode that is saved.

    Args:
        there: Told ``("begun",)`` before the data set is opened and ``("ready",)`` after, then
            ``("row", episode, i)`` and ``("saved", episode)``.
        root: The data set.
        scene: What is recorded.
        first: Number of the first episode.
        frames: Of an episode.
        pause: Ticks between episodes.
    """
    there.send(("begun",))
    dataset = open_dataset(root, scene, threads=1)
    there.send(("ready",))
    at = time.perf_counter()
    episode = first
    while True:
        for i in range(frames):
            at += 1 / FPS
            time.sleep(max(0.0, at - time.perf_counter()))
            dataset.add_frame(frame(scene, episode, i))
            there.send(("row", episode, i))
        dataset.save_episode()
        there.send(("saved", episode))
        episode += 1
        at = time.perf_counter() + pause / FPS
