"""A control loop in a thread; its arm is played, the rest is real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Observation
from agent.control.asking import Asking
from agent.control.chunk_stats import ChunkStats
from agent.control.episodes import EpisodeSchedule, Trigger
from agent.control.guard import Guard
from agent.control.handover_config import HandoverConfig
from agent.control.limits import GuardConfig, JointLimits
from agent.control.loop import ControlLoop
from agent.control.peers import Peers
from agent.control.policy_role import SLOTS, PolicyRole
from agent.control.recorder_role import RecorderRole
from agent.control.recording import Recording
from agent.control.sources import Hold
from agent.control.stats import LoopStats
from agent.control.stop_file import StopFile
from agent.control.ticker import Ticker
from agent.control.timeline import Timeline
from agent.ipc import Channel, FrameBuffer, FrameLayout, connect
from robots.arm.care import Demand
from robots.arm.ranges import JointRange
from robots.errors import ArmadaError
from tests.helpers import wait_until

LAYOUT = FrameLayout(("a.pos", "b.pos"), ("a.pos", "b.pos"), ())
FPS = 100


class PlayedArm:
    """Goes at once where it is sent."""

    def __init__(self) -> None:
        self.layout = LAYOUT
        self.position = np.array([1.0, 2.0], np.float32)
        self.sent: list[list[float]] = []
        self.released = False
        self.finished = False
        self.state_ = "ok"
        self.resting = False
        self.wants: Demand | None = None
        self.blind: dict[str, str] = {}
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self.polls = 0
        self.torque_off: bool | None = None
        self.stuck: NDArray[np.float32] | None = None
        self.taken_hold_of: set[str] = set()
        self.done: bool | None = None

    @property
    def state(self) -> str:
        return self.state_

    def observe(self) -> Observation | None:
        if self.state_ != "ok":
            return None
        return Observation(self.position.copy(), {}, 0.0, self.blind)

    def act(self, action: NDArray[np.float32]) -> bool:
        self.sent.append(action.tolist())
        self.position = action if self.stuck is None else self.stuck
        return True

    def poll(self) -> None:
        self.polls += 1

    def held(self) -> set[str]:
        held, self.taken_hold_of = self.taken_hold_of, set()
        return held

    def demand(self) -> Demand | None:
        return self.wants

    def rest(self) -> None:
        self.resting = True

    def wake(self) -> None:
        self.resting = False

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        told, self.told = self.told, []
        return told

    def to_json(self) -> dict[str, Any]:
        return {"arm": self.state_}

    def release(self, *, torque_off: bool = True) -> tuple[str, ...]:
        self.released, self.torque_off = True, torque_off
        return ()

    def recorded(self) -> tuple[int, NDArray[np.float32]]:
        return 0, np.array([5.0, 5.0], np.float32)


class Leader:
    """Moves both joints a little every tick, or is where a hand put it (``at``)."""

    name = "teleop"

    def __init__(self) -> None:
        self.resets = 0
        self.value: float | None = 0.0
        self.at: NDArray[np.float32] | None = None
        self.has_motors = False
        self.torque = False
        self.answers = True

    def propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        if self.at is not None:
            return self.pose()
        if self.value is None:
            return None
        self.value += 0.5
        return np.array([self.value, np.nan if self.value > 1e6 else self.value], np.float32)

    def acted(self, tick: int, observation: Observation) -> None:
        """Nobody is asked."""

    def reset(self) -> None:
        self.resets += 1

    def pose(self) -> NDArray[np.float32] | None:
        return self.at if self.answers else None

    def hold(self) -> bool:
        self.torque = self.answers
        return self.answers

    def move(self, goal: NDArray[np.float32]) -> bool:
        assert self.torque, "a limp leader can't be moved"
        self.at = goal
        return True

    def let_go(self) -> bool:
        if self.answers:
            self.torque = False
        return self.answers


class Bench:
    """A loop in a thread and a subscriber on its socket."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.arm = PlayedArm()
        self.leader = Leader()
        stats = LoopStats(1 / FPS)
        chunks = ChunkStats()
        timeline = Timeline()

        def emit(kind: str, cause: str, **data: Any) -> None:
            self.loop.emit(kind, cause, **data)

        policy = PolicyRole(
            buffer=FrameBuffer(folder / "o", LAYOUT, SLOTS, create=True),
            timeline=timeline,
            stats=chunks,
            emit=emit,
            welcome={"task": "t"},
            asking=Asking(1 / FPS),
            deadline_s=60,
        )
        self.recorder = RecorderRole(
            buffer=FrameBuffer(folder / "r", LAYOUT, 4, create=True),
            emit=emit,
            welcome={},
            on_gone=lambda: self.loop.recording.lost(),
        )
        ranges = dict.fromkeys(LAYOUT.action_names, JointRange(-100.0, 100.0, 1e4))
        loose = JointLimits(speed_percent=5000, step_percent=50, lead_percent=100)
        safety = GuardConfig(
            limits=loose, park_s=0.2, park_after_s=fields.pop("park_after_s", 0.0), max_yields=3
        )
        self.stop_file = folder / "stop"
        handover = fields.pop("handover", HandoverConfig(blend_s=0.0))
        before_s = fields.pop("before_s", 0.0)
        schedule = EpisodeSchedule(
            fields.pop("episode_ticks", 20),
            fields.pop("reset_ticks", 5),
            fields.pop("trigger", Trigger.SCHEDULE),
        )
        given: dict[str, Any] = {"duration_s": 0.0, "park": True, "tally": None} | fields
        self.loop = ControlLoop(
            arm=self.arm,  # type: ignore[arg-type]
            guard=Guard(LAYOUT.action_names, ranges, 1 / FPS, safety),
            safety=safety,
            stop_file=StopFile(self.stop_file),
            ticker=Ticker(FPS),
            stats=stats,
            chunks=chunks,
            sources={"hold": Hold(), "teleop": self.leader, "policy": Hold()},
            source="teleop",
            policy=policy,
            recorder=self.recorder,
            recording=Recording(
                recorder=self.recorder,
                schedule=schedule,
                success=lambda: self.arm.done,
                before_s=before_s,
            ),
            teleop=self.leader,
            handover=handover,
            task="t",
            **given,
        )
        self.events: list[dict[str, Any]] = []
        self._recorders: list[Channel] = []
        self.expected: type[Exception] | None = None
        self._folder = folder
        self.peers = Peers(
            folder / "s", {"recorder": self.recorder, "supervisor": _Listening(self.loop)}
        )
        self.channel = connect(folder / "s")
        self.channel.send("hello", role="supervisor", subscribe=True)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_until(lambda: self.loop.stats.ticks > 3)

    def _run(self) -> None:
        try:
            self.loop.run(self.peers)
        except ArithmeticError as error:
            if self.expected is None or not isinstance(error, self.expected):
                raise
        self.peers.close()

    def record(self) -> Channel:
        recorder = connect(self._folder / "s")
        recorder.send("hello", role="recorder", pid=1)
        recorder.send("ready", episodes=0, frames=0)
        wait_until(lambda: self.recorder.ready)
        self._recorders.append(recorder)
        return recorder

    def lose_recorder(self) -> None:
        self._recorders.pop().close()

    def hear(self, kind: str) -> dict[str, Any]:
        def heard() -> dict[str, Any] | None:
            self.events += [m.fields for m in self.channel.receive() if m.kind == "event"]
            return next((e for e in self.events if e["event"] == kind), None)

        return wait_until(heard, timeout_s=30, what=kind)  # type: ignore[return-value]

    def order(self, what: Callable[[], None]) -> None:
        """Have it done in the loop's thread, where operators' commands are carried out."""
        outcome: list[Exception | None] = []

        def carry_out() -> None:
            try:
                what()
            except ArmadaError as error:
                outcome.append(error)
            else:
                outcome.append(None)

        self.loop.soon(carry_out)
        wait_until(lambda: outcome, what="the order is carried out")
        if outcome[0] is not None:
            raise outcome[0]

    def end(self) -> None:
        self.order(lambda: self.loop.shutdown("the test is over"))
        for recorder in self._recorders:
            # Nobody waits for what it didn't say that it saved.
            recorder.close()
        self.thread.join(30)
        assert not self.thread.is_alive()


class _Listening:
    def __init__(self, loop: ControlLoop) -> None:
        self._loop = loop

    def welcome(self, peer: Any) -> dict[str, Any]:
        return self._loop.status()

    def on_message(self, peer: Any, message: Any) -> None:
        """It only listens."""

    def on_lost(self, peer: Any) -> None:
        """It may go."""
