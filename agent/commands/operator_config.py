"""Flags of the operator's commands.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from typing import Any

from robots.errors import ConfigError


@dataclass(kw_only=True)
class BrokerAddress:
    """The fleet's broker."""

    host: str = "127.0.0.1"
    port: int = 1883


@dataclass(kw_only=True)
class StatusConfig:
    """Whose status to show."""

    broker: BrokerAddress = field(default_factory=BrokerAddress)
    fleet: str = "default"
    # Ask the agent on this host over its control socket instead of the broker.
    state_dir: str = ""
    # Print JSON instead of a table.
    json: bool = False
    # Show it again every second until Ctrl-C.
    watch: bool = False


@dataclass(kw_only=True)
class FleetConfig:
    """An order to robots, such as `armada fleet stop robot1`."""

    # What to do: stop, clear, source, task, record_start, record_stop, record_discard, pull,
    # rollback, status, shutdown.
    order: str = ""
    # Name of a robot, or all.
    robot: str = ""
    # The order's arguments, such as {name: policy}, {episodes: 5}, {task: "…"}, {version: 3}.
    args: dict[str, Any] = field(default_factory=dict)
    broker: BrokerAddress = field(default_factory=BrokerAddress)
    fleet: str = "default"
    # Seconds to wait for the answer.
    timeout_s: float = 5.0
    # Print JSON instead of lines.
    json: bool = False

    def __post_init__(self) -> None:
        if not self.order:
            raise ConfigError(
                "what should they do?",
                field="order",
                remedy="`armada fleet stop all`; see `armada fleet --help`",
            )
        if not self.robot:
            raise ConfigError("who?", field="robot", remedy="Name a robot, or all")
