"""``--guard.…``: the limits between any source of actions and the arm, and when it parks.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field

from robots.errors import ConfigError


@dataclass(kw_only=True)
class JointLimits:
    """Of one joint; shares of its calibrated range.

    The defaults let pass what people do: over the real SO-101 recordings that we have, a tenth of a
    percent of the ticks is faster than 120 %/s (gripper 240 %/s), and a goal is at most 17 % ahead
    of its joint (gripper, pressing on something, 36 %).
    """

    # Speed, percent of the range per second. A loaded STS3215 can do about 140.
    speed_percent: float = 140.0
    # Largest change from one tick to the next, whatever the rate, percent of the range.
    step_percent: float = 8.0
    # How far the goal may be ahead of the joint, percent of the range: a blocked joint isn't
    # pressed on.
    lead_percent: float = 40.0
    # The same while the arm is stopped or holds: enough to carry its weight, too little to press.
    hold_percent: float = 5.0
    # Kept from either end of the range, percent of the range.
    margin_percent: float = 0.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("speed_percent", 0.0, 10_000.0),
            ("step_percent", 0.0, 100.0),
            ("lead_percent", 0.0, 100.0),
            ("hold_percent", 0.0, 100.0),
        ):
            value = getattr(self, name)
            if not least < value <= most:
                raise ConfigError(
                    f"must be above {least:g} and at most {most:g}",
                    field=f"--guard…{name}",
                    value=value,
                )
        if not 0.0 <= self.margin_percent < 50.0:
            raise ConfigError(
                "must be at least 0 and below 50",
                field="--guard…margin_percent",
                value=self.margin_percent,
            )


def _gripper() -> dict[str, JointLimits]:
    # It holds things by pressing on them; LeRobot limits its torque to a half.
    return {
        "gripper": JointLimits(
            speed_percent=300.0, step_percent=16.0, lead_percent=80.0, hold_percent=40.0
        )
    }


@dataclass(kw_only=True)
class GuardConfig:
    """There is no switch to turn the guard off."""

    # Limits of every joint that `joints` doesn't name.
    limits: JointLimits = field(default_factory=JointLimits)
    # Joint → its own limits: {"gripper": {"speed_percent": 350}}
    joints: dict[str, JointLimits] = field(default_factory=_gripper)
    # A picture older than this is not shown to the policy, in seconds.
    max_frame_age_s: float = 0.5
    # Without anything to do for this long the arm goes back to the pose at start; 0: it holds.
    park_after_s: float = 30.0
    # Seconds that the way back takes; a far joint takes longer, as its speed limit allows.
    park_s: float = 2.0
    # An arm that presses on something this often within a minute is stopped.
    max_yields: int = 3
    # The arm stops while this file exists (for a button's script); empty: `stop` in the folder of
    # the control socket.
    stop_file: str = ""

    def __post_init__(self) -> None:
        for name in ("max_frame_age_s", "park_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(
                    "must be positive", field=f"--guard.{name}", value=getattr(self, name)
                )
        if self.park_after_s < 0:
            raise ConfigError(
                "can't be negative", field="--guard.park_after_s", value=self.park_after_s
            )
        if self.max_yields < 1:
            raise ConfigError(
                "must be at least 1", field="--guard.max_yields", value=self.max_yields
            )

    def of(self, action_name: str) -> JointLimits:
        """The limits of ``left_gripper.pos`` are those of ``left_gripper``, else of ``gripper``."""
        joint = action_name.removesuffix(".pos")
        bare = joint.removeprefix("left_").removeprefix("right_")
        return self.joints.get(joint) or self.joints.get(bare) or self.limits
