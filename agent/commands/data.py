"""``armada data …``: what is in a data set, whether it is good enough to learn from, and whose it
is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.base import Command, show_verbs
from agent.commands.data_catalogue import check_catalogue, list_entries, show_entry
from agent.commands.data_delete import delete_from_dataset
from agent.commands.data_hub import pull_dataset, push_dataset
from robots.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from agent.data.check.finding import Finding
    from agent.data.check.gate import DatasetReport

_STYLE = {"CLEAN": "green", "REPAIRED": "yellow", "REJECTED": "red"}


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs = {
        "check": _check,
        "list": list_entries,
        "show": show_entry,
        "delete": delete_from_dataset,
        "push": push_dataset,
        "pull": pull_dataset,
    }
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada data", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb",
            field="data",
            value=argv[0] if argv else None,
            remedy=f"One of: {', '.join(verbs)}",
        )
    return verbs[argv[0]](argv[1:])


def _check(argv: list[str]) -> int:
    """Judge every episode, or all that a datasets.yaml lists; 1 unless all are clean, or mended."""
    from rich.console import Console
    from rich.progress import Progress

    from agent.commands.data_config import CheckConfig
    from agent.commands.parsing import parse
    from agent.data.check.finding import Verdict
    from agent.data.check.gate import check_dataset
    from robots.replay.locate import locate

    config = parse(CheckConfig, argv, prog="armada data check", positional=("dataset",))
    if not config.dataset:
        raise ConfigError("is missing", field="dataset", remedy="armada data check FOLDER")
    if Path(config.dataset).suffix in (".yaml", ".yml"):
        return check_catalogue(config)
    root = locate(config.dataset)
    console = Console()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("episodes", total=None)
        report = check_dataset(root, told=lambda _: progress.advance(task))
    if config.pictures:
        from agent.data.check.sheet import draw_sheets

        draw_sheets(report.info, report.episodes, Path(config.pictures))
    if config.repair:
        from agent.data.check.repair import repair

        repair(report, Path(config.repair))
    if config.json:
        console.print_json(json.dumps(report.to_json(), allow_nan=False))
    else:
        _show(console, report)
    mended = bool(config.repair) and report.verdict is not Verdict.REJECTED
    return 0 if mended or report.verdict is Verdict.CLEAN else 1


def _show(console: Console, report: DatasetReport) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("episode", "frames", "verdict", "because", title=str(report.info.root))
    for episode in report.episodes:
        table.add_row(
            str(episode.index),
            str(episode.length),
            Text(str(episode.verdict), style=_STYLE[episode.verdict]),
            Text("\n".join(_said(finding) for finding in episode.findings)),
        )
    console.print(table)
    for finding in report.findings:
        console.print(Text(_said(finding)))
    verdict = Text(str(report.verdict), style=_STYLE[report.verdict])
    console.print(
        verdict, f": {len(report.usable)} of {len(report.episodes)} episodes are clean", sep=""
    )


def _said(finding: Finding) -> str:
    where = "" if finding.frames is None else f" (frames {finding.frames[0]}–{finding.frames[1]})"
    note = "note: " if finding.weight == "note" else ""
    return f"{note}{finding}{where}"


COMMAND = Command(
    "data",
    "LeRobot data sets: check, mend, delete from, push, pull; whose a federation learns from",
    main,
    55,
)
