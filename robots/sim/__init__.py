"""An SO-101 without hardware: emulated servos, a scene that a camera sees, and a scripted expert.

LeRobot's unmodified driver and the vendor's SDK talk to the servos over a pseudo-terminal.
"""

from robots.sim.config import ScriptedReachConfig, SO101SceneConfig, SO101SimConfig
from robots.sim.robot import SO101Sim
from robots.sim.scene import SO101Scene
from robots.sim.scripted import ScriptedReach

__all__ = [
    "SO101Scene",
    "SO101SceneConfig",
    "SO101Sim",
    "SO101SimConfig",
    "ScriptedReach",
    "ScriptedReachConfig",
]
