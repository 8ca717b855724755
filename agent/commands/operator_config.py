"""Flags of the operator's commands.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass, field
from typing import Any

from agent.link.broker import BrokerConfig
from agent.link.operator import Login
from robots.errors import ConfigError
from robots.names import check_name


@dataclass(kw_only=True)
class BrokerAddress(BrokerConfig):
    """The fleet's broker."""

    # Host of the broker.
    host: str = "127.0.0.1"

    @property
    def login(self) -> Login:
        return Login(username=self.username, password=self.password, tls_ca=self.tls_ca)


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

    def __post_init__(self) -> None:
        check_name("--fleet", self.fleet)


@dataclass(kw_only=True)
class FleetConfig:
    """An order to robots, such as `armada fleet stop robot1`."""

    # What to do: stop, clear, source, task, record_start, record_stop, record_next, record_discard,
    # record_save_last, mark, pause, correct, resume, pull, rollback, status, shutdown.
    order: str = ""
    # Name of a robot, or all.
    robot: str = ""
    # The order's arguments, such as {name: policy}, {episodes: 5}, {success: true}, {version: 3}.
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
                "needs an order",
                field="order",
                remedy="`armada fleet stop all`; see `armada fleet --help`",
            )
        if not self.robot:
            raise ConfigError("needs a name", field="robot", remedy="Name a robot, or all")
        check_name("--fleet", self.fleet)
        check_name("robot", self.robot)
        if self.timeout_s <= 0:
            raise ConfigError("must be positive", field="--timeout_s", value=self.timeout_s)
