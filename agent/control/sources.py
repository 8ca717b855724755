"""Where actions come from: a leader, the policy's timeline, or nowhere (hold)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from lerobot.teleoperators import Teleoperator
from numpy.typing import NDArray

from agent.control.arm import Observation
from agent.control.chunk_stats import Seams
from agent.control.policy_role import PolicyRole
from agent.control.timeline import Planned, Timeline
from robots.arm.leader import Leader


class Source(Protocol):
    """Proposes the action for a tick, in the layout's order and the robot's units."""

    name: str

    def propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        """(A,) or ``None`` when there is none (starvation). MUST return within a millisecond or
        so: it runs in the control loop."""

    def acted(self, tick: int, observation: Observation) -> None:
        """The goal of this tick is on its way: time for what it need not wait for. Called after
        each ``propose``."""

    def reset(self) -> None:
        """Forget what was planned: another source took over, the operator stopped, or the task
        changed."""


class Hold:
    """No action: the arm keeps its last one."""

    name = "hold"

    def propose(self, tick: int, observation: Observation) -> None:
        return None

    def acted(self, tick: int, observation: Observation) -> None:
        """Nobody is asked."""

    def reset(self) -> None:
        """Nothing is planned."""


class PolicySource:
    """Takes this tick's action from the timeline and offers the observation to the policy, unless
    a picture in it is old, black or frozen.

    Args:
        timeline: What is planned.
        role: Is asked for more.
        seams: Where jumps are counted.
        played: The arm is a recording, which goes on while nothing is planned: a plan passes then.
    """

    name = "policy"

    def __init__(
        self, timeline: Timeline, role: PolicyRole, seams: Seams, *, played: bool = False
    ) -> None:
        self._timeline = timeline
        self._role = role
        self._seams = seams
        self._played = played
        self.taken: Planned | None = None

    def propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        self.taken = planned = self._timeline.take(tick)
        self._seams.note(tick, planned)
        return None if planned is None else planned.action

    def acted(self, tick: int, observation: Observation) -> None:
        # Copying pictures and waking a worker take milliseconds, and only in some ticks.
        if not observation.blind:
            self._role.offer(tick, observation.state, observation.images)
        if self.taken is None and not self._played:
            self._role.hold()

    def reset(self) -> None:
        self._role.reset()


class TeleopSource:
    """Follows a LeRobot teleoperator.

    Args:
        teleop: Built, not connected.
        action_names: The robot's, in the layout's order.
    """

    name = "teleop"

    def __init__(self, teleop: Teleoperator, action_names: tuple[str, ...]) -> None:
        self._leader = Leader(teleop)
        self._names = action_names

    def connect(self) -> None:
        """Connect without a prompt.

        Raises:
            DeviceError: no connection, or not calibrated.
        """
        self._leader.connect()

    def propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        return self.pose()

    def acted(self, tick: int, observation: Observation) -> None:
        """A leader sees for itself."""

    def reset(self) -> None:
        """A leader plans nothing."""

    # In a person's hand: see ``corrections.py`` --------------------------------------------

    @property
    def has_motors(self) -> bool:
        """Whether it can be held and moved."""
        return self._leader.has_motors

    def pose(self) -> NDArray[np.float32] | None:
        """(A,) where it is; ``None`` when it doesn't say."""
        action = self._leader.read()
        if action is None or not all(name in action for name in self._names):
            return None
        return np.array([action[name] for name in self._names], np.float32)

    def hold(self) -> bool:
        """Torque on, where it is; whether it took."""
        return self._leader.hold()

    def move(self, goal: NDArray[np.float32]) -> bool:
        """Send it, held, to a pose (A,); whether it was told."""
        return self._leader.move(dict(zip(self._names, goal.tolist(), strict=True)))

    def let_go(self) -> bool:
        """Torque off; whether it heard."""
        return self._leader.let_go()

    def disconnect(self) -> None:
        """Close it; one with motors lets go."""
        self._leader.disconnect()
