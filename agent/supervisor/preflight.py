"""Everything that can be refused before anything moves is refused here."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agent.config import RunConfig
from agent.control.build import make_robot
from agent.control.episodes import Trigger
from agent.control.recorded import check_actions
from agent.ipc import FrameLayout
from agent.policy import atomic
from agent.policy.continuation import check_can_continue
from agent.policy.engines.choice import check_possible
from agent.policy.load import check_fit, read_config
from agent.policy.store import ModelStore
from agent.recorder.features import check_dataset, check_sizes
from agent.supervisor.locks import ports, take, take_port
from robots.errors import ConfigError
from robots.registry import register_all


@dataclass(frozen=True)
class Cleared:
    """What the checks found out.

    Args:
        layout: The robot's features.
        locks: Descriptors that hold the state folder and the ports; control inherits them.
        store: The model store, with a ``current`` model when a policy was asked for.
    """

    layout: FrameLayout
    locks: tuple[int, ...]
    store: ModelStore


def clear_for_start(config: RunConfig) -> Cleared:
    """Check configuration, ports, policy and data set, cheapest first.

    Raises:
        ArmadaError: the first thing that is wrong; the arm was not touched.
    """
    register_all()
    state = config.state
    try:
        state.create()
    except OSError as error:
        raise ConfigError(
            f"the state folder can't be made: {error.strerror}",
            field="--state_dir",
            value=state.root,
        ) from error
    locks: list[int] = []
    try:
        locks.append(
            take(
                state.lock,
                field="--state_dir",
                value=state.root,
                message="another agent uses this state folder",
            )
        )
        # The lock is held: whoever looks for this agent's socket from now on finds it.
        if state.runtime != state.own_runtime or not state.runtime_link.is_symlink():
            atomic.point(state.runtime_link, str(state.own_runtime))
        configs = [("--robot", config.robot)]
        if config.teleop is not None:
            configs.append(("--teleop", config.teleop))
        for name, part in configs:
            locks += [take_port(flag, port) for flag, port in ports(part, name)]
        layout, store = _check(config)
    except BaseException:
        for lock in locks:
            os.close(lock)
        raise
    return Cleared(layout, tuple(locks), store)


def _check(config: RunConfig) -> tuple[FrameLayout, ModelStore]:
    _, layout = make_robot(config.robot)
    if config.recorded.dataset:
        check_actions(config.recorded, layout)
    store = ModelStore(config.state.models)
    if config.has_local_policy:
        policy = read_config(config.policy.path, config.policy.overrides)
        check_fit(policy, layout, config.rename_map)
        check_possible(policy.type, config.inference.engine, config.inference.precision)
        if config.inference.continues:
            check_can_continue(policy)
    if config.dataset.num_episodes or not Trigger(config.dataset.trigger).counts:
        check_sizes(layout, video=config.dataset.video)
    check_dataset(config.dataset_root, layout, config.fps, video=config.dataset.video)
    if config.has_local_policy:
        store.ensure_current(config.policy.path)
    return layout, store
