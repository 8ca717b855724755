"""Configurations of the stand-ins, in LeRobot's registries.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field

from lerobot.cameras import CameraConfig
from lerobot.robots.config import RobotConfig
from lerobot.teleoperators.config import TeleoperatorConfig

from robots.errors import ConfigError

PLANTS = ("first_order", "mujoco")


@RobotConfig.register_subclass("so101_sim")
@dataclass(kw_only=True)
class SO101SimConfig(RobotConfig):  # type: ignore[misc]
    """An emulated SO-101 follower: the fields of LeRobot's, but no port."""

    # Let go of the arm at the end, as a real one.
    disable_torque_on_disconnect: bool = True
    max_relative_target: float | None = None
    # Empty: one camera `front` that sees the scene: so101_scene, or so101_rendered with mujoco.
    cameras: dict[str, CameraConfig] = field(default_factory=dict)
    use_degrees: bool = True
    num_read_retries: int = 2
    # Seed of the goals, and of where the cube starts.
    seed: int = 0
    # Seconds until the scene shows the next goal.
    goal_period_s: float = 4.0
    # first_order: light and quick; mujoco: gravity, contacts, something to pick up.
    plant: str = "first_order"
    # A script of faults, a YAML or JSON file: see robots/emulator/faults.py.
    faults: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.goal_period_s <= 0:
            raise ConfigError(
                "must be positive", field="--robot.goal_period_s", value=self.goal_period_s
            )
        if self.plant not in PLANTS:
            raise ConfigError(
                "there is no such plant",
                field="--robot.plant",
                value=self.plant,
                remedy="One of: " + ", ".join(PLANTS),
            )


@CameraConfig.register_subclass("so101_scene")
@dataclass(kw_only=True)
class SO101SceneConfig(CameraConfig):  # type: ignore[misc]
    """Sees an emulated arm and its goal."""

    fps: int | None = 30
    width: int | None = 96
    height: int | None = 96
    # The `id` of the emulated arm; empty: the arm that this camera belongs to.
    robot_id: str = ""


@TeleoperatorConfig.register_subclass("scripted_reach")
@dataclass(kw_only=True)
class ScriptedReachConfig(TeleoperatorConfig):  # type: ignore[misc]
    """An expert that reaches the goal of an emulated arm, with no person present."""

    # The `id` of the emulated arm; empty: this teleoperator's own id.
    robot_id: str = ""
    # Seconds a motion takes.
    reach_s: float = 1.5
    # Degrees (or −100..100), as --robot.use_degrees.
    use_degrees: bool = True

    def __post_init__(self) -> None:
        if self.reach_s <= 0:
            raise ConfigError("must be positive", field="--teleop.reach_s", value=self.reach_s)
