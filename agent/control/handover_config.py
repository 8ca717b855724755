"""``--handover.…``: how a person takes the arm from the policy, and gives it back.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from robots.errors import ConfigError


@dataclass(kw_only=True)
class HandoverConfig:
    """Between whatever drives the arm, and to and from a person's leader."""

    # What the arm was sent last and what is proposed now differ by an offset; it is blended out in
    # so many seconds, or in as many as the guard's speeds need.
    blend_s: float = 1.0
    # Bring a leader that has motors to the arm's pose before it is taken (LeRobot's
    # smooth_handover); without, the arm comes to the leader.
    move_leader: bool = True
    # Seconds that the leader takes for it.
    leader_s: float = 2.0
    # A limp leader that is moved by so much within half a second, degrees, takes over by itself;
    # 0: only an order does.
    by_moving: float = 0.0

    def __post_init__(self) -> None:
        for name in ("blend_s", "by_moving"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    "can't be negative", field=f"--handover.{name}", value=getattr(self, name)
                )
        if self.leader_s <= 0:
            raise ConfigError("must be positive", field="--handover.leader_s", value=self.leader_s)
