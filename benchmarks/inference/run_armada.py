"""Armada: the control process's own ``main`` and a policy worker, as the supervisor starts it.

Hooks around control's functions tell what happens.
"""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import draccus
import numpy as np
from numpy.typing import NDArray

import agent.control.__main__ as control
from agent.config import PolicyRef, RunConfig
from agent.control.loop import ControlLoop
from agent.control.peers import Peers
from agent.control.timeline import Planned
from agent.inference_config import InferenceConfig
from agent.policy.store import StoredModel
from agent.supervisor.child import Child
from agent.supervisor.children import Children
from benchmarks.inference.job import CHUNK, FPS, TASK, Job, Log
from benchmarks.inference.robot import follower
from benchmarks.rig import Power

_ALWAYS = {"execution_horizon": 1}


def run(power: Power, job: Job, log: Log, over: threading.Event) -> None:
    """Until ``over``."""
    with tempfile.TemporaryDirectory(prefix="armada-bench-") as folder:
        config = RunConfig(
            robot=follower(power, job),
            policy=PolicyRef(path="" if job.server else job.policy),
            inference=InferenceConfig(
                **(_ALWAYS if job.always else {}) | {"server": job.server} | job.options
            ),
            fps=FPS,
            task=TASK,
            return_to_initial_position=False,
            state_dir=folder,
        )
        config.state.create()
        config.state.config.write_text(draccus.dump(config), encoding="utf-8")
        children = Children(config, ())
        worker = Child(children.remote() or children.policy(_model(job), 1))
        build = control.build

        def built(parsed: RunConfig) -> tuple[ControlLoop, Peers]:
            loop, peers = build(parsed)
            _listen(loop, log)
            # A child of the supervisor, not of control, whose precedence it would inherit here.
            worker.spec = replace(worker.spec, nice=worker.spec.nice - os.nice(0))
            worker.start()
            threading.Thread(target=_end, args=(loop, over), daemon=True).start()
            return loop, peers

        control.build = built
        try:
            if status := control.main([f"--config_path={config.state.config}"]):
                raise RuntimeError(f"control ended with {status}")
        finally:
            worker.end(grace_s=2.0)


def _end(loop: ControlLoop, over: threading.Event) -> None:
    over.wait()
    loop.soon(lambda: loop.shutdown("the run is over"))


def _listen(loop: ControlLoop, log: Log) -> None:
    source: Any = loop.sources["policy"]
    arm: Any = loop.arm
    stats: Any = loop.stats
    timeline = source._timeline
    propose, after, act, ticked = source.propose, source.acted, arm.act, stats.tick
    add = timeline.add
    planned: Planned | None = None

    def proposed(tick: int, observation: Any) -> Any:
        nonlocal planned
        action = propose(tick, observation)
        planned = source.taken
        if planned is None:
            log.starve()
        elif not 0 <= tick - planned.first < CHUNK or planned.epoch != loop.policy.epoch:
            log.stale += 1
        return action

    def looked(tick: int, observation: Any) -> None:
        asked = loop.policy._requests
        after(tick, observation)
        if loop.policy._requests != asked:
            log.observe()

    def acted(action: NDArray[np.float32]) -> Any:
        taken = act(action)
        if planned is not None:
            log.act(action.tolist(), planned.request)
        return taken

    def tick(now: Any) -> None:
        log.tick()
        ticked(now)

    def added(*args: Any, **kwargs: Any) -> Any:
        log.chunk()
        return add(*args, **kwargs)

    source.propose, source.acted, arm.act = proposed, looked, acted
    stats.tick, timeline.add = tick, added


def _model(job: Job) -> StoredModel:
    """What the supervisor would find in its store, without 1.8 GB copied into one."""
    return StoredModel(
        path=Path(job.policy),
        digest="",
        base_digest="",
        trainable_digest="",
        origin=job.policy,
        parent=None,
        source="",
        created=0.0,
        files={},
    )
