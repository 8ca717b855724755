"""``armada demo``: the whole path on this machine, without hardware and without a hub."""

from __future__ import annotations

import time

from agent.commands.base import Command


def main(argv: list[str]) -> int:
    """Run it and print the table and the path of the report."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from agent.demo.config import DemoConfig

    console = Console()
    config = parse(DemoConfig, argv, prog="armada demo")
    began = time.monotonic()
    from agent.demo.play import Play
    from agent.demo.report import write_report
    from agent.demo.table import table

    play = Play(config, console)
    result = play.run()
    report = play.out / "report.html"
    write_report(result, report)
    console.print(table(result))
    console.print(f"Done in {time.monotonic() - began:.0f} s. Report: {report}", soft_wrap=True)
    return 0


COMMAND = Command("demo", "the whole path on emulated arms, or on a data set's episodes", main, 5)
