"""Makes every robot, camera and teleoperator known to ``--robot.type=…`` and its like."""

from __future__ import annotations

import importlib

_LEROBOT = (
    "lerobot.cameras.opencv",
    "lerobot.cameras.realsense",
    "lerobot.cameras.zmq",
    "lerobot.robots.bi_so_follower",
    "lerobot.robots.koch_follower",
    "lerobot.robots.lekiwi",
    "lerobot.robots.omx_follower",
    "lerobot.robots.so_follower",
    "lerobot.teleoperators.bi_so_leader",
    "lerobot.teleoperators.gamepad",
    "lerobot.teleoperators.keyboard",
    "lerobot.teleoperators.koch_leader",
    "lerobot.teleoperators.omx_leader",
    "lerobot.teleoperators.so_leader",
)
_OURS = ("robots.sim", "robots.replay")


def register_all() -> None:
    """Import what registers itself with LeRobot: its own devices, ours, and installed plug-ins.

    Plain LeRobot commands get ours with ``--robot.discover_packages_path=robots``.
    """
    for name in (*_LEROBOT, *_OURS):
        importlib.import_module(name)
    from lerobot.utils.import_utils import register_third_party_plugins

    register_third_party_plugins()
