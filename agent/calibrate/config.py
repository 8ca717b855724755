"""The configuration of ``armada calibrate``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from lerobot.robots.config import RobotConfig

from robots.errors import ConfigError


@dataclass(kw_only=True)
class CalibrateConfig:
    """``armada calibrate``: which arm, and whether to calibrate, to compare or to write."""

    # The arm, as in armada run: --robot.type=so101_follower --robot.port=… --robot.id=…
    robot: RobotConfig
    # Of two arms only this one: left or right.
    arm: str = ""
    # Compare file and servos only; status 1 when they differ.
    check: bool = False
    # Write the file to the servos, as it is.
    write: bool = False
    # With --write: don't ask.
    yes: bool = False
    # With --check: print JSON instead of a table.
    json: bool = False

    def __post_init__(self) -> None:
        if self.arm not in ("", "left", "right"):
            raise ConfigError("must be left or right", field="--arm", value=self.arm)
        if self.check and self.write:
            raise ConfigError("does nothing to write", field="--check", remedy="Give one of them")
        if self.yes and not self.write:
            raise ConfigError("answers for --write only", field="--yes")
        if self.json and not self.check:
            raise ConfigError("is for --check only", field="--json")
