"""Armada's merges, by the timeline of the control loop and the worker's way to a chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.control.merging.config import MergeConfig
from agent.control.timeline import Planned, Timeline
from agent.policy.continuation import Guiding
from agent.policy.load import LoadedPolicy
from agent.policy.predict import Ask, predict_chunks
from benchmarks.seams.recording import Episode


class Ours:
    """One merge.

    Args:
        name: In the table.
        loaded: The policy.
        config: ``--inference.merge`` and what belongs to it.
    """

    def __init__(self, name: str, loaded: LoadedPolicy, config: MergeConfig) -> None:
        self.name = name
        self._loaded = loaded
        self._config = config
        self._guiding = Guiding(
            exact=config.guidance == "exact", max_weight=config.max_guidance_weight
        )
        self.reset()

    def reset(self) -> None:
        self._timeline = Timeline(self._config.make_merge())
        self._chunk: tuple[int, NDArray[np.float32]] | None = None

    def ask(self, tick: int, episode: Episode, delay: int, seed: int) -> None:
        """Compute a chunk from this tick's observation; it is there ``delay`` ticks later."""
        plan = self._timeline.ahead(tick)
        ask = Ask(
            state=episode.state[tick],
            images={name: pictures[tick] for name, pictures in episode.pictures.items()},
            task=episode.task,
            plan=plan if self._config.continues and len(plan) else None,
            frozen=delay,
            seed=seed,
        )
        (answer,) = predict_chunks(self._loaded, [ask], guiding=self._guiding)
        self._chunk = tick, answer.chunk

    def arrive(self, now: int) -> None:
        """The chunk is there."""
        assert self._chunk is not None
        observed, chunk = self._chunk
        origin = Planned(
            chunk[0], observed=observed, first=observed, generation=1, request=observed
        )
        self._timeline.add(chunk, origin, now=now)

    def act(self, tick: int) -> NDArray[np.float32]:
        """(A,) what the arm is told."""
        planned = self._timeline.take(tick)
        assert planned is not None, "the plan has ended: lower --delays or --horizon"
        return planned.action
