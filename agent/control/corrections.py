"""A person takes the arm from the policy, corrects it, and gives it back (DAgger).

==========  ========================================================================================
autonomous  whatever drives, drives
aligning    the arm holds; a leader with motors is brought to the arm's pose
paused      the arm holds; the leader holds itself until a hand takes it
correcting  the leader is limp, and the arm follows it
==========  ========================================================================================

The keys of LeRobot's ``dagger`` strategy are two of these orders: *pause* (and *resume*), and
*correct*, from where a second one goes back to the pause. At each change the source is reset, so
that nothing that was planned before is acted on after; the driver blends the offset out.
"""

from __future__ import annotations

import time
from collections import deque
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.control.driver import Driver
from agent.control.handover_config import HandoverConfig
from agent.control.peers import Emit
from agent.control.sources import Hold, Source
from robots.arm.smooth import minimum_jerk
from robots.errors import ConfigError

GRIP = 4.0
"""Degrees (or per cent) that a hand moves a leader that holds itself: a servo at LeRobot's gains
gives way so far to a fifth of its torque."""

_SETTLE_S = 0.4
"""Until a leader that was moved stands still."""

_MOVED_WITHIN_S = 0.5

Vector = NDArray[np.float32]


class Phase(Enum):
    """Who has the arm."""

    AUTONOMOUS = "autonomous"
    ALIGNING = "aligning"
    PAUSED = "paused"
    CORRECTING = "correcting"


class Handheld(Source, Protocol):
    """What a person drives with."""

    @property
    def has_motors(self) -> bool:
        """Whether it can be held and moved."""

    def pose(self) -> Vector | None:
        """(A,) where it is; ``None`` when it doesn't say."""

    def hold(self) -> bool:
        """Torque on, where it is; whether it took."""

    def move(self, goal: Vector) -> bool:
        """Send it, held, to a pose (A,); whether it was told."""

    def let_go(self) -> bool:
        """Torque off; whether it heard."""


class Corrections:
    """Who has the arm, and how it changes hands.

    Args:
        driver: Of the arm.
        teleop: In a person's hand; ``None``: there is none, and the arm can only be paused.
        config: How.
        emit: Where events go.
    """

    def __init__(
        self, *, driver: Driver, teleop: Handheld | None, config: HandoverConfig, emit: Emit
    ) -> None:
        self.phase = Phase.AUTONOMOUS
        self._driver = driver
        self._teleop = teleop
        self._config = config
        self._emit = emit
        self._hold = Hold()
        self._back: Source = self._hold
        self._held = False
        self._wanted = False
        self._began = 0.0
        self._from: Vector | None = None
        self._rest: Vector | None = None
        self._seen: deque[tuple[float, Vector]] = deque()

    @property
    def intervening(self) -> bool:
        """Whether a person has the arm in the place of what drove it."""
        return self.phase is not Phase.AUTONOMOUS

    @property
    def paused(self) -> bool:
        """Whether the arm holds for that person."""
        return self.phase in (Phase.ALIGNING, Phase.PAUSED)

    # Orders --------------------------------------------------------------------------------

    def pause(self) -> None:
        """The arm holds, and a leader with motors comes to its pose."""
        self._wanted = False
        if not self.paused:
            self._pause()

    def correct(self) -> None:
        """The arm goes to the leader; from a correction back to the pause.

        One that has motors is aligned first, and holds itself until a hand moves it or the order
        is given again.

        Raises:
            ConfigError: there is no leader, it drives anyhow, or it doesn't answer.
        """
        if self._teleop is None:
            raise ConfigError(
                "there is nothing to correct with",
                field="correct",
                remedy="Give --teleop.type=so101_leader --teleop.port=…",
            )
        if self.phase is Phase.AUTONOMOUS:
            if self._driver.source is self._teleop:
                raise ConfigError("the teleoperator drives already", field="correct")
            self._pause()
            self._wanted = True
        elif self.phase is Phase.CORRECTING:
            self._pause()
            return
        else:
            self._wanted = False
        if not (self._wanted and self._held) and not self._take():
            raise ConfigError(
                "the leader doesn't answer", field="correct", remedy="Is it plugged in?"
            )

    def resume(self) -> None:
        """What drove before goes on, from where the arm is.

        Raises:
            ConfigError: it drives.
        """
        if self.phase is Phase.AUTONOMOUS:
            raise ConfigError("nothing is paused", field="resume")
        self.abandon()
        self._driver.drive_by(self._back)
        self._tell(f"{self._back.name} drives on")

    def abandon(self) -> None:
        """Somebody else decides who drives."""
        if self._held and self._teleop is not None:
            self._teleop.let_go()
        self._held = self._wanted = False
        self._seen.clear()
        self.phase = Phase.AUTONOMOUS

    # Every tick ----------------------------------------------------------------------------

    def step(self) -> None:
        """Move the leader on, or notice the hand that takes it; before the arm is driven."""
        now = time.monotonic()
        if self.phase is Phase.ALIGNING:
            self._align(now)
        elif self.phase is Phase.PAUSED and self._wanted and self._felt(now):
            self._take()
        elif self.phase is Phase.AUTONOMOUS and self._config.by_moving and self._moved(now):
            self._back = self._driver.source
            self._take()

    def _align(self, now: float) -> None:
        assert self._teleop is not None
        goal = self._driver.goal
        share = (now - self._began) / self._config.leader_s
        if self._driver.stopped is None and self._from is not None and goal is not None:
            way = minimum_jerk(share) * (goal - self._from)
            self._teleop.move((self._from + way).astype(np.float32))
            if share < 1.0:
                return
        # Where a stop finds it, it stays as well.
        self.phase, self._began, self._rest = Phase.PAUSED, now, None
        self._tell("the leader is at the arm's pose: take it" if share >= 1 else "it stays")

    def _felt(self, now: float) -> bool:
        """Whether a hand moves the leader that holds itself."""
        if now - self._began < _SETTLE_S or self._teleop is None:
            return False
        pose = self._teleop.pose()
        if pose is None:
            return False
        if self._rest is None:
            self._rest = pose
        return bool(np.max(np.abs(pose - self._rest)) > GRIP)

    def _moved(self, now: float) -> bool:
        """Whether a hand moves the limp leader while something else drives."""
        if self._teleop is None or self._driver.source is self._teleop or not self._driver.free:
            self._seen.clear()
            return False
        pose = self._teleop.pose()
        if pose is None:
            return False
        self._seen.append((now, pose))
        while now - self._seen[0][0] > _MOVED_WITHIN_S:
            self._seen.popleft()
        return bool(np.max(np.abs(pose - self._seen[0][1])) > self._config.by_moving)

    # ---------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if self.phase is Phase.AUTONOMOUS:
            self._back = self._driver.source
        self._driver.drive_by(self._hold)
        self._began, self._rest, self._from = time.monotonic(), None, None
        self.phase = Phase.PAUSED
        teleop = self._teleop
        if teleop is not None and teleop.has_motors and self._config.move_leader:
            self._held = teleop.hold()
            self._from = teleop.pose() if self._held else None
        if self._from is not None:
            self.phase = Phase.ALIGNING
        self._tell("the arm holds")

    def _take(self) -> bool:
        """The arm follows the leader from now on; whether that was let go."""
        assert self._teleop is not None
        if self._held and not self._teleop.let_go():
            return False
        self._held = self._wanted = False
        self._seen.clear()
        self.phase = Phase.CORRECTING
        self._driver.drive_by(self._teleop)
        self._tell("the leader drives")
        return True

    def _tell(self, cause: str) -> None:
        self._emit("correction", cause, phase=self.phase.value)
