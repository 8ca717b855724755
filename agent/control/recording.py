"""The episodes of an arm: from what begins and ends them to the recorder, with what is marked.

A spoiled episode (a stop, an arm that was away, a picture that isn't of its moment) is dropped and
recorded again where a number of episodes was asked for; else it is kept, and marked as faulty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.control.arm import Observation
from agent.control.driver import Step
from agent.control.episodes import EpisodeSchedule, Phase, Trigger
from agent.control.marks import EpisodeMarks
from agent.control.recorder_role import RecorderRole
from robots.errors import ConfigError


class Recording:
    """Begins, feeds and ends episodes.

    Args:
        recorder: Gets them.
        schedule: When they begin and end.
        success: Whether the task is done, by the robot's own check; ``None``: it has none.
        before_s: Seconds that the recorder keeps from before an order or a correction.
    """

    def __init__(
        self,
        *,
        recorder: RecorderRole,
        schedule: EpisodeSchedule,
        success: Callable[[], bool | None],
        before_s: float = 0.0,
    ) -> None:
        self.schedule = schedule
        self._recorder = recorder
        self._success = success
        self._before_s = before_s
        self._episode = 0
        self._tick = 0
        self._marks: EpisodeMarks | None = None
        # The episode before the next one begins, if it was kept and its recorder is still there.
        self._last: int | None = None
        # Whether that one is of the number that was asked for.
        self._counted = True
        self._blind = False

    # Every tick ----------------------------------------------------------------------------

    def step(self, tick: int, task: str, *, free: bool, correcting: bool) -> bool:
        """Begin and end what is due; whether all that were asked for are recorded now.

        Args:
            tick: Now.
            task: In words.
            free: Whether the arm may be driven.
            correcting: Whether a person drives in the policy's place.
        """
        self._tick = tick
        trigger = self.schedule.trigger
        over = False
        if self._marks is not None:
            self._marks.check(self._success())
            over = trigger is Trigger.SUCCESS and self._marks.over
        ready = self._recorder.ready and free and not self._blind
        changes = self.schedule.step(tick, ready=ready, over=over, correcting=correcting)
        for change in changes:
            if change == "begin":
                before_s = self._before_s if trigger.looks_back else 0.0
                self._begin(tick, task, trigger.value, before_s)
            elif change == "end":
                self._end(save=True)
        return "done" in changes

    def tap(
        self, tick: int, observation: Observation, step: Step, *, intervention: bool, paused: bool
    ) -> None:
        """Hand the recorder a frame.

        Args:
            tick: Now.
            observation: What was seen.
            step: What came of it.
            intervention: Whether a person has the arm in the policy's place.
            paused: Whether that person lets it hold: nothing to learn from.
        """
        self._look(observation)
        if step.action is None:
            return
        starved = step.proposal is None
        fault = bool(observation.blind or step.trips) or starved or paused
        if self._marks is not None:
            self._marks.note(
                intervention=intervention, fault=fault, starved=starved, rules=step.trips
            )
        self._recorder.tap(
            tick,
            observation.time_s,
            observation.state,
            step.action,
            observation.images,
            taken_s=observation.taken_s,
            intervention=intervention,
            fault=fault,
        )

    def _look(self, observation: Observation) -> None:
        """A picture that isn't of this moment makes no demonstration."""
        blind, self._blind = self._blind, bool(observation.blind)
        if self._blind and not blind:
            seen = ", ".join(f"{camera} {fault}" for camera, fault in observation.blind.items())
            if self.schedule.trigger.counts:
                self.interrupt(seen)
            elif self._marks is not None:
                self._marks.fault(seen)

    # What happens to it --------------------------------------------------------------------

    def interrupt(self, reason: str) -> None:
        """The open episode is spoiled from here on."""
        if self._marks is None:
            return
        if self.schedule.trigger.counts:
            self._end(save=False)
            self.schedule.abandon()
            return
        self._marks.fault(reason)
        self._end(save=True)
        self.schedule.cut()

    def lost(self) -> None:
        """The recorder is gone, and with it the open episode: it is begun anew."""
        self._marks = self._last = None
        self.schedule.abandon()

    def close(self) -> None:
        """Save the open episode; no further ones."""
        self._end(save=True)
        self.schedule.stop()

    # The operator --------------------------------------------------------------------------

    def start(self, episodes: int) -> None:
        """Record so many more; with the trigger ``operator`` one, now.

        Raises:
            ConfigError: with this trigger episodes aren't counted, or one is open.
        """
        if episodes != 1 and not self.schedule.trigger.counts:
            raise ConfigError(
                f"with --dataset.trigger={self.schedule.trigger} they aren't counted",
                field="episodes",
                value=episodes,
                remedy="Leave it out",
            )
        if self._marks is not None and self.schedule.trigger is Trigger.OPERATOR:
            raise ConfigError(
                "an episode is being recorded already",
                field="record_start",
                remedy="`armada record next` ends and saves it",
            )
        self.schedule.start(episodes)

    def finish(self) -> None:
        """End and save the open episode now, or the pause after one.

        Raises:
            ConfigError: there is neither.
        """
        if self.schedule.phase.value not in ("recording", "reset"):
            raise self._none("record_next")
        self.schedule.finish()

    def discard(self) -> None:
        """Drop the open episode, or in the pause the one before it; one of a number is recorded
        again.

        Raises:
            ConfigError: there is neither.
        """
        if self.schedule.phase is Phase.RESET and self._last is not None:
            self._recorder.drop_episode(self._last)
            self._last = None
            if self._counted:
                self.schedule.again()
            return
        if not self.schedule.discard():
            raise self._none("record_discard")
        self._end(save=False)

    def save_last(self, task: str, seconds: float | None = None) -> None:
        """Make an episode of what was seen last.

        Args:
            task: In words.
            seconds: Of it; ``None``: all that is kept.

        Raises:
            ConfigError: nothing is kept, or it is part of an episode anyhow.
        """
        kept = self._before_s
        if not kept:
            raise ConfigError(
                "nothing is kept from before an order",
                field="record_save_last",
                remedy="Start the agent with --dataset.pre_trigger_s=10",
            )
        if seconds is not None and not 0 < seconds <= kept:
            raise ConfigError(
                f"must be above 0 and at most {kept:g}", field="seconds", value=seconds
            )
        if self._marks is not None:
            raise ConfigError(
                "an episode is being recorded",
                field="record_save_last",
                remedy="`armada record next` ends and saves it",
            )
        if not self._recorder.ready:
            raise ConfigError("the recorder isn't there", field="record_save_last")
        self._begin(self._tick + 1, task, "save_last", seconds or kept)
        self._counted = False
        self._end(save=True)

    def mark(self, *, success: bool) -> None:
        """Say what became of the open episode, which with the trigger ``success`` ends it, or
        until the next one begins of the one before.

        Raises:
            ConfigError: there is neither.
        """
        if self._marks is not None:
            self._marks.say(success=success)
        elif self._last is not None:
            self._recorder.mark_episode(self._last, success=success)
        else:
            raise self._none("mark")

    def _none(self, order: str) -> ConfigError:
        return ConfigError("no episode is being recorded", field=order)

    # ---------------------------------------------------------------------------------------

    def _begin(self, tick: int, task: str, trigger: str, before_s: float) -> None:
        self._episode += 1
        self._last, self._counted = None, True
        self._marks = EpisodeMarks(trigger)
        self._recorder.start_episode(self._episode, task, tick, before_s=before_s)

    def _end(self, *, save: bool) -> None:
        if self._marks is not None:
            self._recorder.end_episode(save=save, marks=self._marks.to_json())
            self._last = self._episode if save else None
        self._marks = None

    def to_json(self) -> dict[str, Any]:
        """For telemetry."""
        return {
            "phase": self.schedule.phase.value,
            "trigger": self.schedule.trigger.value,
            # Read by the supervisor: a control that is started again goes on with them.
            "episodes_left": self.schedule.left,
        }
