"""Recorded data sets as robots and cameras."""

from robots.replay.camera import ReplayCamera
from robots.replay.config import ReplayCameraConfig, ReplayRobotConfig
from robots.replay.robot import ReplayRobot

__all__ = ["ReplayCamera", "ReplayCameraConfig", "ReplayRobot", "ReplayRobotConfig"]
