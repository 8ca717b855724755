"""An SO-101 without hardware: emulated servos, scenes that a camera sees, and scripted experts.

LeRobot's unmodified driver and the vendor's SDK talk to the servos over a pseudo-terminal.
"""

from robots.sim.config import ScriptedReachConfig, SO101SceneConfig, SO101SimConfig
from robots.sim.physics_config import ScriptedPickConfig, SO101RenderedConfig
from robots.sim.pick import ScriptedPick
from robots.sim.rendered import SO101Rendered
from robots.sim.robot import SO101Sim
from robots.sim.scene import SO101Scene
from robots.sim.scripted import ScriptedReach

__all__ = [
    "SO101Rendered",
    "SO101RenderedConfig",
    "SO101Scene",
    "SO101SceneConfig",
    "SO101Sim",
    "SO101SimConfig",
    "ScriptedPick",
    "ScriptedPickConfig",
    "ScriptedReach",
    "ScriptedReachConfig",
]
