"""The arm of all contenders: LeRobot's follower on emulated servos, with two cameras."""

from __future__ import annotations

from pathlib import Path

from lerobot.robots.so_follower import SO101FollowerConfig

from benchmarks.inference.camera_config import JpegLoopConfig
from benchmarks.inference.job import FPS, Job
from benchmarks.inference.pictures import CAMERAS, SIZE
from benchmarks.rig import Power


def follower(power: Power, job: Job) -> SO101FollowerConfig:
    """Its configuration."""
    height, width = SIZE
    cameras = {
        name: JpegLoopConfig(
            folder=str(Path(job.pictures) / name), fps=FPS, width=width, height=height
        )
        for name in CAMERAS
    }
    return power.follower(cameras=cameras)
