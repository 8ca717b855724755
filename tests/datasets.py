"""Small LeRobot data sets and a tiny policy that fits them, made in a second."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.policy.init import build_policy

JOINTS = tuple(
    f"{joint}.pos"
    for joint in (
        "shoulder_pan",
        "shoulder_lift",
        "elbow_flex",
        "wrist_flex",
        "wrist_roll",
        "gripper",
    )
)
CAMERA = "front"
SIZE = 64
TASK = "reach the red goal with the gripper"


def make_dataset(
    root: Path,
    *,
    episodes: int = 3,
    frames: int = 24,
    fps: int = 10,
    reach: float = 40.0,
    seed: int = 0,
) -> Path:
    """A data set of a smooth reach whose goal is a bright square in the image.

    Args:
        root: The folder to make.
        episodes: How many.
        frames: In each.
        fps: Frames a second.
        reach: How far the joints move, in the robot's units; robots may differ in it.
        seed: Of the goals.
    """
    vector = {"dtype": "float32", "shape": (len(JOINTS),), "names": list(JOINTS)}
    image = {"dtype": "image", "shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        f"test/{root.name}",
        fps,
        {
            "observation.state": vector,
            "action": vector,
            f"observation.images.{CAMERA}": image,
        },
        root=root,
        robot_type="so101_follower",
        use_videos=False,
    )
    rng = np.random.default_rng(seed)
    for _ in range(episodes):
        goal = rng.uniform(-1.0, 1.0, len(JOINTS)).astype(np.float32)
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        column, row = ((goal[:2] + 1) / 2 * (SIZE - 16)).astype(int)
        picture[row : row + 16, column : column + 16] = (255, 40, 40)
        path = [
            goal * reach * np.float32(0.5 - 0.5 * np.cos(np.pi * t))
            for t in np.linspace(0, 1, frames + 1)
        ]
        for state, action in itertools.pairwise(path):
            dataset.add_frame(
                {
                    "observation.state": state.astype(np.float32),
                    "action": action.astype(np.float32),
                    f"observation.images.{CAMERA}": picture,
                    "task": TASK,
                }
            )
        dataset.save_episode()
    dataset.finalize()
    return root


def make_policy(root: Path, *, seed: int = 0) -> Path:
    """A tiny SmolVLA with random weights for the robots of :func:`make_dataset`."""
    return build_policy(
        root, size="tiny", cameras={CAMERA: (SIZE, SIZE)}, action_names=JOINTS, seed=seed
    )
