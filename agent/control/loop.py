"""The control loop: wait for the tick, observe, decide who drives, propose, guard, act, tap.

Nothing in it waits for anybody else. ``driver.py`` is the middle of it.

What the arm does (docs/faults.md has it per fault, with torque):

=====================  =====================================================================
no planned action      holds the last action; counted as *starved* once the source has driven at
                       all; after ``--guard.park_after_s`` goes to the pose at start and waits there
stop (latched)         holds until ``clear``; outlives a restart of this process
servos complain        holds, yields or rests, see ``watch.py``
failed read            holds: no observation, no action
shutdown               ends the episode and saves it, returns to the pose at start, lets go
=====================  =====================================================================
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.arm import Arm, Observation
from agent.control.chunk_stats import ChunkStats
from agent.control.corrections import Corrections, Handheld, Phase
from agent.control.driver import Driver, Step
from agent.control.guard import Guard
from agent.control.handover_config import HandoverConfig
from agent.control.limits import GuardConfig
from agent.control.peers import Peers
from agent.control.policy_role import PolicyRole
from agent.control.recorded import RecordedSource
from agent.control.recorder_role import RecorderRole
from agent.control.recording import Recording
from agent.control.sources import PolicySource, Source, TeleopSource
from agent.control.stats import LoopStats
from agent.control.stop_file import StopFile
from agent.control.tally import ReplayTally
from agent.control.ticker import Tick, Ticker
from robots.errors import ConfigError

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 0.5
SAVE_LIMIT_S = 20.0
"""How long a shutdown waits for the recorder to have the last episode on disk."""


class ControlLoop:
    """One arm, its sources and its taps.

    Args:
        arm: Connected.
        guard: Its limits.
        safety: When it parks, and how often it may yield.
        stop_file: Stops it while it exists.
        ticker: The clock.
        stats, chunks: What is counted.
        sources: By name; must hold ``hold``.
        source: Which drives first.
        teleop: In a person's hand, if there is one; also among the sources.
        handover: How that person takes the arm and gives it back.
        policy, recorder: The roles of these peers.
        recording: The episodes.
        task: In words.
        duration_s: 0: until shut down.
        park: Return to the pose at start before letting go.
        tally: For a recording that is replayed: it begins when the policy is ready, and what the
            policy proposes is kept beside what was recorded.
        home: The pose at start, from before a restart.
    """

    def __init__(
        self,
        *,
        arm: Arm,
        guard: Guard,
        safety: GuardConfig,
        stop_file: StopFile,
        ticker: Ticker,
        stats: LoopStats,
        chunks: ChunkStats,
        sources: dict[str, Source],
        source: str,
        teleop: Handheld | None,
        handover: HandoverConfig,
        policy: PolicyRole,
        recorder: RecorderRole,
        recording: Recording,
        task: str,
        duration_s: float,
        park: bool,
        tally: ReplayTally | None = None,
        home: NDArray[np.float32] | None = None,
    ) -> None:
        self.arm = arm
        self.driver = Driver(
            arm=arm,
            guard=guard,
            safety=safety,
            source=sources[source],
            stats=stats,
            period_s=ticker.period_s,
            park=park,
            follow=tally is None,
            emit=self.emit,
            interrupt=recording.interrupt,
            home=home,
            blend_s=handover.blend_s,
        )
        self.corrections = Corrections(
            driver=self.driver, teleop=teleop, config=handover, emit=self.emit
        )
        self.ticker = ticker
        self.stats = stats
        self.chunks = chunks
        self.sources = sources
        self.policy = policy
        self.recorder = recorder
        self.recording = recording
        self.task = task
        self.duration_s = duration_s
        self.tally = tally
        self.state = "running"
        self._stop_file = stop_file
        self._soon: deque[Callable[[], None]] = deque()
        self._peers: Peers | None = None
        self._began = time.monotonic()
        self._report_at = 0.0
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
                self._orders()
                self.corrections.step()
                self._record(tick.number)
                self.policy.step(tick.number)
                observation = self._observe()
                if observation is not None:
                    self._drive(tick, observation)
                else:
                    # A bus that didn't answer in time is no tick that was lost.
                    self._trace(tick, None)
                self._hear_arm()
                self._report()
                self._lifetime()
                self.stats.work(time.perf_counter() - began)
        except BaseException:
            # Servos hold by themselves until the supervisor has started another control.
            self.arm.release(torque_off=False)
            raise
        for source in self.sources.values():
            if isinstance(source, TeleopSource):
                source.disconnect()
        if left := self.arm.release():
            self.emit("not_let_go", f"{', '.join(left)} may still hold", joints=list(left))
        self._await_recorder(peers)

    def _observe(self) -> Observation | None:
        if self.tally is not None and not self.driver.engaged and not self.policy.ready:
            return None
        return self.arm.observe()

    def _drive(self, at: Tick, observation: Observation) -> None:
        step = self.driver.step(at.number, observation)
        self._trace(at, step)
        self.arm.poll()
        if self.tally is not None:
            self._compare(at, step.proposal)
        self.recording.tap(
            at.number,
            observation,
            step,
            intervention=self.corrections.intervening,
            paused=self.corrections.paused,
        )

    def _trace(self, at: Tick, step: Step | None) -> None:
        """Each tick and where its action came from, for whoever asked for it in its hello."""
        if self._peers is None or not self._peers.traced:
            return
        taken = self.driver.source.taken if isinstance(self.driver.source, PolicySource) else None
        drove = step is not None and taken is not None and step.proposal is taken.action
        acted = taken if drove else None
        self._peers.publish(
            "tick",
            {
                "tick": at.number,
                "lateness_s": at.lateness_s,
                "skipped": at.skipped,
                "epoch": self.policy.epoch,
                "origin": None if acted is None else acted.origin(),
            },
        )

    def _hear_arm(self) -> None:
        for kind, cause, data in self.arm.events():
            if kind in ("arm_lost", "arm_degraded"):
                self.driver.source.reset()
                self.recording.interrupt(f"{kind}: {cause}")
            elif kind == "arm_back":
                self.driver.start_over()
            self.emit(kind, cause, **data)

    def soon(self, order: Callable[[], None]) -> None:
        """Carry out an order at the next tick: for signal handlers, which interrupt this one
        anywhere, and for other threads."""
        self._soon.append(order)

    def _orders(self) -> None:
        while self._soon:
            self._soon.popleft()()
        if self.driver.stopped is None and self._stop_file.exists():
            self.stop(f"the file {self._stop_file.path}")

    def _compare(self, at: Tick, proposal: NDArray[np.float32] | None) -> None:
        assert self.tally is not None
        if self._shutdown is not None or self.arm.finished:
            return
        episode, recorded = self.arm.recorded()
        if episode != self._playing:
            # What was planned for the end of one episode says nothing of the next one's beginning.
            if self._playing is not None:
                self.driver.source.reset()
                proposal = None
            self._playing = episode
        late = at.skipped > 0 or at.lateness_s > self.ticker.period_s / 2
        self.tally.note(episode, proposal, recorded, late=late)

    def _record(self, tick: int) -> None:
        done = self.recording.step(
            tick,
            self.task,
            free=self.driver.free,
            correcting=self.corrections.phase is Phase.CORRECTING,
        )
        if done:
            self.emit("recording_done", "all episodes that were asked for are recorded")
            if self.driver.source.name == "teleop" and "policy" in self.sources:
                self.set_source("policy")

    # Operators -----------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Hold, and refuse to move until ``clear``."""
        self.driver.stop(reason)

    def clear(self) -> None:
        """Release a stop; driving goes on from where the arm is.

        Raises:
            ConfigError: the stop file is still there.
        """
        if self._stop_file.exists():
            raise ConfigError(
                "the stop file is still there",
                field="clear",
                value=self._stop_file.path,
                remedy="Release the button, or remove the file",
            )
        self.driver.clear()

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
        self.corrections.abandon()
        self.driver.drive_by(self.sources[name])
        self.emit("source", f"{name} drives", source=name)

    def set_task(self, task: str) -> None:
        """Change the task; what was planned for the old one is dropped."""
        self.task = self.policy.task = task
        self.driver.source.reset()
        self.emit("task", task)

    def shutdown(self, reason: str) -> None:
        """Save the open episode, return to the pose at start and end; asked twice, end at once."""
        if self._shutdown is not None:
            self.driver.park = False
            return
        self._shutdown = reason
        self.emit("shutdown", reason)
        self.recording.close()
        self.corrections.abandon()
        self.state = "parking"
        self.driver.leave()

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
            "state": self._state(),
            "stop_reason": self.driver.stopped,
            **self.arm.to_json(),
            "source": self.driver.source.name,
            "home": self.driver.home,
            "docked": self.driver.docked,
            "task": self.task,
            "correction": self.corrections.phase.value,
            **self.recording.to_json(),
            **self.stats.to_json(),
            **self.chunks.to_json(),
            **self.policy.to_json(),
            **self.recorder.to_json(),
        }

    def _state(self) -> str:
        if self.driver.stopped is not None:
            return "stopped"
        if self.arm.state != "ok":
            return self.arm.state
        return self.driver.watch.mode.value if self.state == "running" else self.state

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._report_at and self._peers is not None:
            self._report_at = now + REPORT_EVERY_S
            self._peers.publish("telemetry", self.status())

    # The end -------------------------------------------------------------------------------

    def _lifetime(self) -> None:
        if self.duration_s and time.monotonic() - self._began >= self.duration_s:
            self.shutdown("the duration is over")
        recorded = self.sources.get("recorded")
        played = isinstance(recorded, RecordedSource) and recorded.finished
        if self.arm.finished or played:
            self.shutdown("the recording is over")
        if self._shutdown is not None and self.driver.at_rest():
            self.state = "finished"

    def _await_recorder(self, peers: Peers) -> None:
        deadline = time.monotonic() + SAVE_LIMIT_S
        while self.recorder.unsaved > 0 and time.monotonic() < deadline:
            peers.poll()
            self._report()
            time.sleep(0.02)
        if self.recorder.unsaved > 0:
            self.emit("unsaved", "the recorder had not saved all episodes in time")
        if self.tally is not None:
            self.emit("replayed", "the recording was played", episodes=self.tally.to_json())
        recorded = self.sources.get("recorded")
        if isinstance(recorded, RecordedSource):
            self.emit("replayed", "its actions were sent", episodes=recorded.to_json())
        self.emit("finished", self._shutdown or "")
        peers.publish("telemetry", self.status() | {"state": "finished"})
