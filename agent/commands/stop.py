"""``armada stop`` and ``armada clear``: the latched stop of the agent on this host.

Goes over the local control socket: it works without broker, policy, recorder or network. While
control is down it goes into the file that control reads before it moves anything.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
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


class NoAnswerError(LinkError):
    """Control isn't there, or doesn't answer in time."""


def order(state: StateDir, name: str, args: dict[str, Any], *, timeout_s: float = 5.0) -> Any:
    """Give the agent on this host a command and return its result.

    Raises:
        NoAnswerError: no agent is there, or it doesn't answer in time.
        LinkError: it refuses.
    """
    from agent.ipc import connect

    try:
        channel = connect(state.control_socket)
    except LinkError as error:
        raise NoAnswerError(
            error.message, field=error.field, value=error.value, remedy=error.remedy
        ) from error
    try:
        channel.send("hello", role="cli", pid=os.getpid())
        channel.send("command", id="1", name=name, args=args)
        while messages := channel.wait(timeout_s):
            for message in messages:
                if message.kind == "reply":
                    if not message["ok"]:
                        said = str(message["error"])
                        named = said.startswith(f"{name}:")
                        raise LinkError(said, field=None if named else name)
                    return message.fields.get("result")
        raise NoAnswerError(
            "the agent didn't answer", field="control socket", value=state.control_socket
        )
    finally:
        channel.close()


def _state(argv: list[str], prog: str) -> tuple[StateDir, StopConfig]:
    from agent.commands.parsing import parse

    config = parse(StopConfig, argv, prog=prog, positional=("name",))
    state = StateDir(Path(config.state_dir)) if config.state_dir else StateDir.default(config.name)
    return state, config


def _agent_runs(state: StateDir) -> bool:
    """Whether an agent holds the state folder."""
    try:
        descriptor = os.open(state.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _order_or(state: StateDir, name: str, args: dict[str, Any], instead: Callable[[], str]) -> int:
    """Give an order; to an agent whose control is down by ``instead``, which says what it did."""
    try:
        order(state, name, args)
    except NoAnswerError:
        if not _agent_runs(state):
            raise
        done = instead()
        # A control that came up meanwhile may have looked before that was done.
        try:
            order(state, name, args, timeout_s=1.0)
        except NoAnswerError:
            from rich.console import Console

            Console(soft_wrap=True).print(f"control doesn't answer: {done}", markup=False)
    return 0


def _stop(argv: list[str]) -> int:
    state, config = _state(argv, "armada stop")

    def keep() -> str:
        from agent.policy import atomic

        try:
            atomic.write_text(state.latched_stop, config.reason)
        except OSError:
            state.stop_file.touch()
            return f"it starts stopped, by the file {state.stop_file} (the disk takes nothing)"
        return "it starts stopped"

    return _order_or(state, "stop", {"reason": config.reason}, keep)


def _clear(argv: list[str]) -> int:
    state, _ = _state(argv, "armada clear")

    def forget() -> str:
        state.latched_stop.unlink(missing_ok=True)
        return "the stop is cleared when it is up again"

    return _order_or(state, "clear", {}, forget)


STOP = Command("stop", "make the arm on this host hold still until `armada clear`", _stop, 12)
CLEAR = Command("clear", "release the stop of the arm on this host", _clear, 13)
