"""``armada doctor``: checks what a run needs, without moving anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from agent.commands.base import Command

if TYPE_CHECKING:
    from agent.config import DoctorConfig
    from agent.doctor.check import Check, Finding

_STYLE = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}


def main(argv: list[str]) -> int:
    """Print the table; status 1 when anything failed."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.parsing import parse
    from robots.registry import register_all

    register_all()
    from agent.config import DoctorConfig
    from agent.doctor.check import Verdict, run_checks

    config = parse(DoctorConfig, argv, prog="armada doctor")
    checks, powered = _checks(config)
    with powered:
        findings = run_checks(checks)
    console = Console()
    if config.json:
        console.print_json(json.dumps([f.to_json() for f in findings]))
    else:
        table = Table("part", "verdict", "found", "remedy", title="armada doctor")
        for f in findings:
            style = _STYLE[f.verdict.value]
            table.add_row(f.part, f"[{style}]{f.verdict.value}[/]", f.detail, f.remedy)
        console.print(table)
    return int(any(f.verdict is Verdict.FAIL for f in findings))


def _checks(config: DoctorConfig) -> tuple[dict[str, Check], AbstractContextManager[None]]:
    """The checks, and what must be switched on for them (an emulated arm)."""
    from agent.doctor import host

    checks: dict[str, Check] = {
        "packages": host.packages,
        "disk": lambda: host.disk(config.state.root),
        "clock": host.clock,
    }
    powered: AbstractContextManager[None] = nullcontext()
    if config.robot is not None:
        of_robot, powered = _robot_checks(config)
        checks |= of_robot
    if config.policy.path and config.robot is None:
        checks["policy"] = lambda: _policy(config)
    if config.broker.host:
        remedy = "Start it, or `armada server`, which brings one along"
        checks["broker"] = lambda: host.address(
            "broker", config.broker.host, config.broker.port, remedy
        )
    for part in ("superlink", "server"):
        value = getattr(config.federation, part)
        if value:
            name, _, port = value.rpartition(":")
            checks[part] = lambda p=part, n=name, q=int(port): host.address(  # type: ignore[misc]
                p, n.strip("[]"), q, "Is `armada server` running there?"
            )
    return checks, powered


def _robot_checks(
    config: DoctorConfig,
) -> tuple[dict[str, Check], AbstractContextManager[None]]:
    from agent.control.build import make_robot
    from agent.doctor import arm
    from robots.sim import SO101Sim

    assert config.robot is not None
    own = config.robot
    robot, layout = make_robot(own)
    checks: dict[str, Check] = {
        "port": lambda: arm.port(own),
        "servos": lambda: arm.servos(robot),
        "cameras": lambda: arm.cameras(robot, layout),
    }
    if config.policy.path:
        checks["policy"] = lambda: _policy(config)
    return checks, robot.powered() if isinstance(robot, SO101Sim) else nullcontext()


def _policy(config: DoctorConfig) -> Iterator[Finding]:
    from agent.control.build import make_robot
    from agent.doctor.check import Finding, Verdict
    from agent.policy.load import check_fit, read_config

    policy = read_config(config.policy.path)
    detail = f"{policy.type} at {config.policy.path}"
    if config.robot is not None:
        _, layout = make_robot(config.robot)
        check_fit(policy, layout, config.rename_map)
        detail += " fits this robot"
    yield Finding("policy", Verdict.OK, detail)


COMMAND = Command("doctor", "check arm, cameras, policy, disk and the fleet's addresses", main, 60)
