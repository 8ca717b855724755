"""``armada doctor``: checks what a run needs, without moving anything."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from agent.commands.base import Command

if TYPE_CHECKING:
    from agent.doctor.check import Finding

_STYLE = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}


def main(argv: list[str]) -> int:
    """Print the table; status 1 when anything failed."""
    from robots.registry import register_all

    register_all()
    from agent.commands.part import parse_part
    from agent.config import DoctorConfig
    from agent.doctor.check import Verdict, run_checks
    from agent.doctor.plan import plan

    config = parse_part(DoctorConfig, argv, prog="armada doctor")
    with ExitStack() as stack:
        findings = run_checks(plan(config, stack))
    if config.json:
        sys.stdout.write(json.dumps([f.to_json() for f in findings], indent=2) + "\n")
    else:
        _show(findings)
    return int(any(f.verdict is Verdict.FAIL for f in findings))


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("part", "verdict", "found", "remedy", title="armada doctor")
    for f in findings:
        verdict = Text(f.verdict.value, style=_STYLE[f.verdict.value])
        # As text, not as markup: paths and errors may hold brackets.
        table.add_row(Text(f.part), verdict, Text(f.detail), Text(f.remedy))
    Console().print(table)


COMMAND = Command("doctor", "check arm, cameras, policy, disk and the fleet's addresses", main, 60)
"""``armada doctor``: is everything here that a run needs? A verdict and a remedy a line."""
