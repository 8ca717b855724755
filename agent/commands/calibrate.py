"""``armada calibrate``: an SO-100/SO-101 and its calibration file, brought together."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command

if TYPE_CHECKING:
    from rich.console import Console

    from agent.calibrate.answers import Answers
    from agent.calibrate.config import CalibrateConfig


def main(argv: list[str]) -> int:
    """Status 1 when file and servos differ (``--check``) or the person declined."""
    from rich.console import Console

    from robots.registry import register_all

    register_all()
    from agent.calibrate.answers import Answers
    from agent.calibrate.config import CalibrateConfig
    from agent.calibrate.session import ports_locked, terminated_as_interrupted
    from agent.commands.part import parse_part
    from agent.control.build import make_robot
    from robots.sim import SO101Sim

    config = parse_part(CalibrateConfig, argv, prog="armada calibrate")
    robot, _ = make_robot(config.robot)
    arms = _arms(robot, config)
    powered = robot.powered() if isinstance(robot, SO101Sim) else nullcontext()
    with terminated_as_interrupted(), ports_locked(config.robot), powered:
        if config.check:
            return _check(arms, config)
        console = Console()
        answers = Answers(console)
        done = [_change(arm, name, config, answers, console) for name, arm in arms.items()]
    return int(not all(done))


def _arms(robot: Any, config: CalibrateConfig) -> dict[str, Any]:
    """Name → SO follower."""
    from robots.arm.parts import followers
    from robots.arm.registers import is_feetech
    from robots.errors import ConfigError
    from robots.sim import SO101Sim

    known = dict(followers(robot))
    arms = {
        f"{robot.id or robot.name} ({prefix.rstrip('_')})" if prefix else robot.id or robot.name: a
        for prefix, a in known.items()
        if config.arm in (prefix.rstrip("_"), "")
    }
    if config.arm and not arms:
        raise ConfigError("the robot has no such arm", field="--arm", value=config.arm)
    if not arms or not all(is_feetech(arm.bus) for arm in arms.values()):
        raise ConfigError(
            "has no SO-100/SO-101 servos to calibrate",
            field="--robot.type",
            value=config.robot.type,
            remedy="`lerobot-calibrate` calibrates other arms" if arms else None,
        )
    if isinstance(robot, SO101Sim) and not (config.check or config.write):
        raise ConfigError(
            "comes calibrated, and nobody can move its joints by hand",
            field="--robot.type",
            value=config.robot.type,
            remedy="--check and --write work on it",
        )
    return arms


def _check(arms: dict[str, Any], config: CalibrateConfig) -> int:
    from rich.console import Console

    from agent.calibrate.compare import compare
    from agent.calibrate.tables import differences_table

    console = Console()
    found = {name: compare(arm) for name, arm in arms.items()}
    if config.json:
        said = [
            {
                "arm": name,
                "file": str(arms[name].calibration_fpath),
                "differences": [dataclasses.asdict(d) for d in differences],
            }
            for name, differences in found.items()
        ]
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return int(any(found.values()))
    for name, differences in found.items():
        path = arms[name].calibration_fpath
        if differences:
            console.print(differences_table(differences, f"{name}: {path}"))
        else:
            console.print(f"The servos of {name} have what {path} says.", soft_wrap=True)
    if any(found.values()):
        console.print("`armada calibrate --write` writes the file to the servos.")
    return int(any(found.values()))


def _change(
    arm: Any, name: str, config: CalibrateConfig, answers: Answers, console: Console
) -> bool:
    from agent.calibrate.compare import write_file
    from agent.calibrate.walk import Walk

    try:
        if config.write:
            return write_file(arm, name, console, None if config.yes else answers)
        return Walk(arm, name, console, answers).run()
    except KeyboardInterrupt:
        console.print(f"\nBroken off: file and servos of {name} are as they were.")
        raise


COMMAND = Command("calibrate", "calibrate an arm, or compare its servos with the file", main, 58)
"""``armada calibrate``: see ``docs/calibrate.md``."""
