"""The control loop: wait for the tick, observe, propose, guard, act, tap. Nothing in it waits for
anybody else.

What the arm does:

=====================  =====================================================================
no planned action      holds the last action (torque on); counted as *starved* once the source
                       has driven at all
stop (latched)         holds the last action (torque on) until ``clear``
shutdown               ends the episode and saves it, returns to the pose at start, lets go
failed read            holds; after ``arm.LOST_AFTER`` in a row releases the port and reconnects
=====================  =====================================================================
"""

from __future__ import annotations

import logging
import math
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Arm, Observation
from agent.control.episodes import EpisodeSchedule
from agent.control.guard import Guard
from agent.control.peers import Peers
from agent.control.policy_role import PolicyRole
from agent.control.recorder_role import RecorderRole
from agent.control.sources import Source
from agent.control.stats import LoopStats
from agent.control.tally import ReplayTally
from agent.control.ticker import Tick, Ticker
from robots.errors import ConfigError

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 0.5
TRIP_EVENT_EVERY_S = 10.0
PARK_S = 2.0
"""Time to return to the pose at start; far joints take longer, as the guard's step limit allows."""

PARK_LIMIT_S = 5.0
SAVE_LIMIT_S = 20.0
"""How long a shutdown waits for the recorder to have the last episode on disk."""


class ControlLoop:
    """One arm, its sources and its taps.

    Args:
        arm: Connected.
        guard: Its limits.
        ticker: The clock.
        stats: What is counted.
        sources: By name; must hold ``hold``.
        source: Which drives first.
        policy, recorder: The roles of these peers.
        schedule: When episodes begin and end.
        task: In words.
        duration_s: 0: until shut down.
        park: Return to the pose at start before letting go.
        tally: For a recording that is replayed: it begins when the policy is ready, and what the
            policy proposes is kept beside what was recorded.
    """

    def __init__(
        self,
        *,
        arm: Arm,
        guard: Guard,
        ticker: Ticker,
        stats: LoopStats,
        sources: dict[str, Source],
        source: str,
        policy: PolicyRole,
        recorder: RecorderRole,
        schedule: EpisodeSchedule,
        task: str,
        duration_s: float,
        park: bool,
        tally: ReplayTally | None = None,
    ) -> None:
        self.arm = arm
        self.guard = guard
        self.ticker = ticker
        self.stats = stats
        self.sources = sources
        self.source = sources[source]
        self.policy = policy
        self.recorder = recorder
        self.schedule = schedule
        self.task = task
        self.duration_s = duration_s
        self.park = park
        self.tally = tally
        self.stopped: str | None = None
        self.state = "running"
        self._peers: Peers | None = None
        self._last: NDArray[np.float32] | None = None
        self._initial: NDArray[np.float32] | None = None
        self._engaged = False
        self._told: dict[str, float] = {}
        self._episode = 0
        self._began = time.monotonic()
        self._report_at = 0.0
        self._parking_since: float | None = None
        self._shutdown: str | None = None
        self._playing: int | None = None

    # The loop ------------------------------------------------------------------------------

    def run(self, peers: Peers) -> None:
        """Until shut down or the duration is over; the arm is released when it returns."""
        self._peers = peers
        # Time counts from here: what was built since the clock was made is no late tick.
        self.ticker.restart()
        try:
            while self.state != "finished":
                tick = self.ticker.wait()
                began = time.perf_counter()
                self.stats.tick(tick)
                peers.poll()
                self._episodes(tick.number)
                self.policy.step(tick.number)
                observation = self._observe()
                if observation is not None:
                    self._drive(tick, observation)
                self._report()
                self._lifetime()
                self.stats.work(time.perf_counter() - began)
        finally:
            self.arm.release()
        self._await_recorder(peers)

    def _observe(self) -> Observation | None:
        if self.tally is not None and not self._engaged and not self.policy.ready:
            return None
        if not self.arm.is_lost():
            observation = self.arm.observe()
            if self.arm.is_lost():
                self.emit("arm_lost", "the arm doesn't answer; reconnecting")
                self._interrupt_episode()
            return observation
        if self.arm.reconnect():
            self._last = None
            self.source.reset()
            self.ticker.restart()
            self.emit("arm_back", "the arm answers again")
        return None

    def _drive(self, at: Tick, observation: Observation) -> None:
        tick = at.number
        if self._last is None:
            self._last = self._pose(observation)
            if self._initial is None:
                self._initial = self._last
        proposal = self._propose(tick, observation)
        if self.tally is not None:
            self._compare(at, proposal)
        if proposal is None:
            self.stats.starved += self._engaged and self.stopped is None
            proposal = self._last
        else:
            self.stats.driven += 1
            self._engaged = True
        verdict = self.guard.check(proposal, self._last)
        self._note_trips(verdict.trips)
        if self.arm.act(verdict.action):
            self._last = verdict.action
        self.recorder.tap(
            tick, observation.time_s, observation.state, verdict.action, observation.images
        )

    def _propose(self, tick: int, observation: Observation) -> NDArray[np.float32] | None:
        if self._parking_since is not None:
            return self._park_action()
        if self.stopped is not None:
            return None
        return self.source.propose(tick, observation)

    def _compare(self, at: Tick, proposal: NDArray[np.float32] | None) -> None:
        assert self.tally is not None
        if self._shutdown is not None or self.arm.finished:
            return
        episode, recorded = self.arm.recorded()
        if episode != self._playing:
            # What was planned for the end of one episode says nothing of the next one's beginning.
            if self._playing is not None:
                self.source.reset()
                proposal = None
            self._playing = episode
        late = at.skipped > 0 or at.lateness_s > self.ticker.period_s / 2
        self.tally.note(episode, proposal, recorded, late=late)

    def _pose(self, observation: Observation) -> NDArray[np.float32]:
        """The present pose as an action: where the arm is when nobody has driven it yet."""
        layout = self.arm.layout
        where = {name: i for i, name in enumerate(layout.state_names)}
        if all(name in where for name in layout.action_names):
            return observation.state[[where[name] for name in layout.action_names]].copy()
        # Data sets with unnamed joints: state and action are the same joints in the same order.
        return observation.state[: len(layout.action_names)].copy()

    # Episodes ------------------------------------------------------------------------------

    def _episodes(self, tick: int) -> None:
        change = self.schedule.step(tick, recorder_ready=self.recorder.ready)
        if change == "begin":
            self._episode += 1
            self.recorder.start_episode(self._episode, self.task, tick)
        elif change == "end":
            self.recorder.end_episode(save=True)
        elif change == "done":
            self.emit("recording_done", "all episodes that were asked for are recorded")
            if self.source.name == "teleop" and "policy" in self.sources:
                self.set_source("policy")

    def _interrupt_episode(self) -> None:
        if self.recorder.recording:
            self.recorder.end_episode(save=False)
            self.schedule.abandon()

    def recorder_gone(self) -> None:
        """The recorder was lost; its open episode starts anew when it is back."""
        self.schedule.abandon()

    # Operators -----------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Hold, and refuse to move until ``clear``."""
        if self.stopped is None:
            self.stopped = reason
            self.source.reset()
            self._interrupt_episode()
            self.emit("stopped", reason)

    def clear(self) -> None:
        """Release a stop; driving goes on from where the arm is."""
        if self.stopped is not None:
            self.emit("cleared", "the stop was cleared by the operator", stop=self.stopped)
            self.stopped = None
            self._last = None
            self._engaged = False
            self.source.reset()

    def set_source(self, name: str) -> None:
        """Let another source drive.

        Raises:
            ConfigError: this agent has no such source.
        """
        if name not in self.sources:
            raise ConfigError(
                "this agent has no such source",
                field="source",
                value=name,
                remedy="One of: " + ", ".join(self.sources),
            )
        self.source.reset()
        self.source = self.sources[name]
        self.source.reset()
        self._engaged = False
        self.emit("source", f"{name} drives", source=name)

    def set_task(self, task: str) -> None:
        """Change the task; what was planned for the old one is dropped."""
        self.task = self.policy.task = task
        self.source.reset()
        self.emit("task", task)

    def shutdown(self, reason: str) -> None:
        """Save the open episode, return to the pose at start and end; asked twice, end at once."""
        if self._shutdown is not None:
            self.park = False
            return
        self._shutdown = reason
        self.emit("shutdown", reason)
        if self.recorder.recording:
            self.recorder.end_episode(save=True)
        self.schedule.stop()
        self.state = "parking"
        self._parking_since = time.monotonic()

    # Reports -------------------------------------------------------------------------------

    def emit(self, kind: str, cause: str, **data: Any) -> None:
        """An event: to the log and to all who subscribed."""
        logger.info("%s: %s %s", kind, cause, data or "")
        if self._peers is not None:
            event = {"event": kind, "cause": cause, "time": time.time(), "data": data}
            self._peers.publish("event", event)

    def status(self) -> dict[str, Any]:
        """What telemetry carries."""
        return {
            "time": time.time(),
            "pid": os.getpid(),
            "state": "stopped" if self.stopped else self.state,
            "stop_reason": self.stopped,
            "arm": "lost" if self.arm.is_lost() else "ok",
            "source": self.source.name,
            "task": self.task,
            "phase": self.schedule.phase.value,
            **self.stats.to_json(),
            **self.policy.to_json(),
            **self.recorder.to_json(),
        }

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._report_at and self._peers is not None:
            self._report_at = now + REPORT_EVERY_S
            self._peers.publish("telemetry", self.status())

    def _note_trips(self, trips: dict[str, tuple[str, ...]]) -> None:
        now = time.monotonic()
        for rule, joints in trips.items():
            self.stats.trips[rule] += 1
            # One event and a count, not thirty a second: a policy may lean on a limit for minutes.
            if now - self._told.get(rule, -math.inf) >= TRIP_EVENT_EVERY_S:
                self._told[rule] = now
                self.emit("guard", rule, joints=list(joints), ticks=self.stats.trips[rule])

    # The end -------------------------------------------------------------------------------

    def _lifetime(self) -> None:
        if self.duration_s and time.monotonic() - self._began >= self.duration_s:
            self.shutdown("the duration is over")
        if self.arm.finished:
            self.shutdown("the recording is over")
        if self._parking_since is not None and self._parked():
            self.state = "finished"

    def _parked(self) -> bool:
        assert self._parking_since is not None
        if not self.park or self.stopped or self.arm.is_lost() or self._initial is None:
            return True
        elapsed = time.monotonic() - self._parking_since
        there = self._last is not None and bool(np.allclose(self._last, self._initial, atol=1e-3))
        return (elapsed >= PARK_S and there) or elapsed >= PARK_LIMIT_S

    def _park_action(self) -> NDArray[np.float32] | None:
        if not self.park or self.stopped or self._initial is None or self._last is None:
            return None
        assert self._parking_since is not None
        left_s = PARK_S - (time.monotonic() - self._parking_since)
        steps = max(1.0, left_s / self.ticker.period_s)
        return (self._last + (self._initial - self._last) / steps).astype(np.float32)

    def _await_recorder(self, peers: Peers) -> None:
        deadline = time.monotonic() + SAVE_LIMIT_S
        while self.recorder.unsaved > 0 and time.monotonic() < deadline:
            peers.poll()
            time.sleep(0.02)
        if self.recorder.unsaved > 0:
            self.emit("unsaved", "the recorder had not saved all episodes in time")
        if self.tally is not None:
            self.emit("replayed", "the recording was played", episodes=self.tally.to_json())
        self.emit("finished", self._shutdown or "")
        peers.publish("telemetry", self.status() | {"state": "finished"})
