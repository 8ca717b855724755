"""``armada stop`` and ``armada clear``: the latched stop of the agent on this host.

Goes over the local control socket: it works without broker, policy, recorder or network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.commands.base import Command
from agent.paths import StateDir
from robots.errors import LinkError


@dataclass(kw_only=True)
class StopConfig:
    """Which agent."""

    # Name of the robot, as --name or --robot.id of `armada run`.
    name: str = "robot"
    # Its state folder, when it was given one.
    state_dir: str = ""
    # Why; kept in the event log.
    reason: str = "armada stop"


def order(state: StateDir, name: str, args: dict[str, Any], *, timeout_s: float = 5.0) -> Any:
    """Give the agent on this host a command and return its result.

    Raises:
        LinkError: no agent is there, it refuses, or it doesn't answer in time.
    """
    from agent.ipc import connect

    channel = connect(state.control_socket)
    try:
        channel.send("hello", role="cli", pid=os.getpid())
        channel.send("command", id="1", name=name, args=args)
        while messages := channel.wait(timeout_s):
            for message in messages:
                if message.kind == "reply":
                    if not message["ok"]:
                        raise LinkError(message["error"], field=name)
                    return message.fields.get("result")
        raise LinkError(
            "the agent didn't answer", field="control socket", value=state.control_socket
        )
    finally:
        channel.close()


def _state(argv: list[str], prog: str) -> tuple[StateDir, StopConfig]:
    from agent.commands.parsing import parse

    config = parse(StopConfig, argv, prog=prog, positional=("name",))
    state = StateDir(Path(config.state_dir)) if config.state_dir else StateDir.default(config.name)
    return state, config


def _stop(argv: list[str]) -> int:
    state, config = _state(argv, "armada stop")
    order(state, "stop", {"reason": config.reason})
    return 0


def _clear(argv: list[str]) -> int:
    state, _ = _state(argv, "armada clear")
    order(state, "clear", {})
    return 0


STOP = Command("stop", "make the arm on this host hold still until `armada clear`", _stop, 12)
CLEAR = Command("clear", "release the stop of the arm on this host", _clear, 13)
