"""Where the policy is asked and when, how its chunks are merged, and how long it may take.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.control.merging.config import MergeConfig
from agent.policy.engines.config import EngineConfig
from agent.policy.remote.config import RemoteConfig, check_unused
from agent.policy.remote.wire import LONGEST_S
from robots.errors import ConfigError

_NEEDS_A_LOCAL_POLICY = ("engine", "precision", "start_limit_s", "threads")


@dataclass(kw_only=True)
class InferenceConfig(RemoteConfig, EngineConfig, MergeConfig):
    """``--inference.…`` of ``armada run`` and ``armada replay``."""

    # Ticks of a chunk that are carried out before the next one's observation is taken; 0: half of
    # the chunk. Sooner where the measured latency would leave the arm without a plan.
    execution_horizon: int = 0
    # Replace the policy worker when a chunk takes longer than this, in seconds; with a policy
    # server, at most 600.
    deadline_s: float = 60.0
    # The same when it has not loaded its model and warmed up within this, in seconds.
    start_limit_s: float = 300.0
    # Threads of the policy worker; 0 lets torch decide.
    threads: int = 0

    def __post_init__(self) -> None:
        RemoteConfig.__post_init__(self)
        EngineConfig.__post_init__(self)
        MergeConfig.__post_init__(self)
        if self.execution_horizon < 0:
            raise ConfigError(
                "can't be negative",
                field="--inference.execution_horizon",
                value=self.execution_horizon,
                remedy="0 is half of the policy's chunk",
            )
        if self.deadline_s <= 0:
            raise ConfigError(
                "must be positive", field="--inference.deadline_s", value=self.deadline_s
            )
        if self.server and self.deadline_s > LONGEST_S:
            raise ConfigError(
                f"no policy server keeps a question for more than {LONGEST_S:g} s",
                field="--inference.deadline_s",
                value=self.deadline_s,
                remedy="The default is 60",
            )
        if self.start_limit_s <= 0:
            raise ConfigError(
                "must be positive",
                field="--inference.start_limit_s",
                value=self.start_limit_s,
                remedy="The default is 300",
            )
        if self.threads < 0:
            raise ConfigError("can't be negative", field="--inference.threads", value=self.threads)
        self.check_no_server(self, _NEEDS_A_LOCAL_POLICY, prefix="--inference.")

    def check_no_server(self, config: Any, names: Sequence[str], *, prefix: str) -> None:
        """What says how a policy is computed here says nothing when only a server is asked.

        Args:
            config: Whose fields.
            names: Of those that need a policy on this host.
            prefix: Of their flags.

        Raises:
            ConfigError: one of them was set.
        """
        if self.server and not self.fallback:
            check_unused(
                config,
                names,
                "no policy runs on this host beside --inference.server",
                prefix=prefix,
                remedy="Leave it out, or keep one ready here: --policy.path=… "
                "--inference.fallback=true",
            )
