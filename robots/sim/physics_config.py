"""Configurations of what needs the MuJoCo plant, in LeRobot's registries.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from lerobot.cameras import CameraConfig
from lerobot.teleoperators.config import TeleoperatorConfig

from robots.errors import ConfigError

VIEWS = ("front", "wrist", "top")


@CameraConfig.register_subclass("so101_rendered")
@dataclass(kw_only=True)
class SO101RenderedConfig(CameraConfig):  # type: ignore[misc]
    """Sees the MuJoCo arm's table: `--robot.plant=mujoco`."""

    fps: int | None = 30
    width: int | None = 224
    height: int | None = 224
    # front: from across the table; wrist: on the gripper; top: from above.
    view: str = "front"
    # The `id` of the emulated arm; empty: the arm that this camera belongs to.
    robot_id: str = ""

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ConfigError(
                "there is no such view",
                field="--robot.cameras.view",
                value=self.view,
                remedy="One of: " + ", ".join(VIEWS),
            )
        if not (self.fps and self.width and self.height):
            raise ConfigError(
                "fps, width and height must be positive", field="--robot.cameras", value=self
            )


@TeleoperatorConfig.register_subclass("scripted_pick")
@dataclass(kw_only=True)
class ScriptedPickConfig(TeleoperatorConfig):  # type: ignore[misc]
    """An expert that picks up the MuJoCo arm's cube, with no person present."""

    # The `id` of the emulated arm; empty: this teleoperator's own id.
    robot_id: str = ""
    # Degrees (or −100..100), as --robot.use_degrees.
    use_degrees: bool = True
    # Top speed of a joint, degrees/s.
    speed: float = 100.0
    # How often to try when the cube slips.
    attempts: int = 3
    # Put the cube down somewhere else and pick it up again, for ever.
    repeat: bool = False
    # Seed of where it is put down.
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("speed", "attempts"):
            if getattr(self, name) <= 0:
                raise ConfigError(
                    "must be positive", field=f"--teleop.{name}", value=getattr(self, name)
                )
