"""Who has the arm: nobody, an agent (which is asked instead of the bus), or another program."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.robots import RobotConfig

from agent.commands.stop import order
from agent.doctor.check import Finding, Verdict
from agent.paths import StateDir
from agent.supervisor.locks import ports, take_port
from robots.arm.stable import stable_name
from robots.arm.users import command_of, users
from robots.errors import DeviceError, LinkError

_STATUS_S = 3.0


@dataclass
class Access:
    """What the doctor may use.

    Args:
        bus: The servos: they are there and nobody else talks to them.
        cameras: No agent has them open.
        findings: A line for the agent and each port.
    """

    bus: bool = True
    cameras: bool = True
    findings: list[Finding] = field(default_factory=list)


def gain(config: RobotConfig, state: StateDir, stack: ExitStack) -> Access:
    """Look at the robot's ports and keep agents away from them until ``stack`` closes.

    Args:
        config: The robot's.
        state: Of the agent that would run it: its control socket is asked.
        stack: Holds the locks.
    """
    access = Access()
    telemetry = ask_agent(state)
    if telemetry is not None:
        access.bus = access.cameras = False
        access.findings.append(_agent(telemetry))
    for flag, name in ports(config, "--robot"):
        _port(access, flag, name, telemetry, stack)
    if not access.findings:
        access.findings.append(Finding("port", Verdict.SKIP, f"{config.type} needs none"))
    return access


def ask_agent(state: StateDir) -> dict[str, Any] | None:
    """The status of the agent with that state folder; ``None``: none runs there."""
    if not state.control_socket.exists():
        return None
    with contextlib.suppress(LinkError):
        said: dict[str, Any] = order(state, "status", {}, timeout_s=_STATUS_S)
        return said
    return None


def _agent(telemetry: dict[str, Any]) -> Finding:
    rate = telemetry.get("rate_hz")
    detail = f"pid {telemetry.get('pid')} is {telemetry.get('state')}, arm {telemetry.get('arm')}"
    if rate:
        detail += f", {rate:.1f} Hz"
    if telemetry.get("arm") == "lost":
        return Finding("agent", Verdict.FAIL, detail, "Check the arm's cable and its power")
    if telemetry.get("stop_reason"):
        detail += f" (stopped: {telemetry['stop_reason']})"
        return Finding("agent", Verdict.WARN, detail, "`armada clear` lets it go on")
    return Finding("agent", Verdict.OK, detail)


def _port(
    access: Access, flag: str, name: str, telemetry: dict[str, Any] | None, stack: ExitStack
) -> None:
    said = f"{flag}={name}"

    def refuse(detail: str, remedy: str) -> None:
        access.bus = False
        access.findings.append(Finding("port", Verdict.FAIL, f"{said} {detail}", remedy))

    if not Path(name).exists():
        return refuse("is absent", _plugged_in())
    if not os.access(name, os.R_OK | os.W_OK):
        return refuse("may not be opened", "Add the user to the group dialout and log in again")
    try:
        stack.callback(os.close, take_port(flag, name))
    except DeviceError as error:
        access.cameras = False
        held = f"is held by {_holder(error)}"
        if telemetry is None:
            return refuse(held, "Stop it, or give its --state_dir to see its status")
        detail = f"{said} {held}, which was asked instead of the servos"
        access.findings.append(Finding("port", Verdict.OK, detail))
        return None
    for user in users(name):
        return refuse(f"is open in {user}", "End it: two on one bus garble each other's answers")
    link = stable_name(name)
    remedy = ""
    if link is not None:
        remedy = f"Use {link}: it stays the same when something else is plugged in"
    access.findings.append(Finding("port", Verdict.OK, said, remedy))
    return None


def _plugged_in() -> str:
    links = sorted(Path("/dev/serial/by-id").glob("*"))
    if links:
        return "Plugged in are: " + ", ".join(str(link) for link in links)
    return "Plug it in; `lerobot-find-port`"


def _holder(error: DeviceError) -> str:
    pid = re.search(r"pid (\d+)", error.message)
    return f"`{command_of(int(pid[1]))}` (pid {pid[1]})" if pid else "another agent"


def skipped(part: str) -> Iterator[Finding]:
    """The line of what could not be looked at: it is absent, or somebody else has it."""
    yield Finding(part, Verdict.SKIP, "not looked at: see the lines before")
