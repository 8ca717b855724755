"""``armada data list``, ``show`` and ``check datasets.yaml``: the data sets of a federation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robots.errors import ConfigError, DataError

if TYPE_CHECKING:
    from agent.commands.data_config import CheckConfig
    from agent.data.federated.catalogue import Catalogue, DataEntry
    from agent.data.federated.judge import Judgement

_HOW_MANY_REASONS = 5
_WIDTH = 112


def list_entries(argv: list[str]) -> int:
    """List a federation's data sets; without a datasets.yaml the example that is shipped."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.data_config import ListConfig
    from agent.commands.parsing import parse

    config = parse(ListConfig, argv, prog="armada data list", positional=("file",))
    path = _path(config.file)
    catalogue = _read(path)
    # What is too wide for a terminal wraps there; cut off it would be useless in a pipe.
    console = Console(width=max(Console().width, _WIDTH))
    if config.json:
        console.print_json(json.dumps([_described(catalogue, entry) for entry in catalogue]))
        return 0
    table = Table("name", "data set", "episodes", "frames", "train", "eval", "verdict", "here")
    for entry in catalogue:
        if catalogue.evaluation and entry is catalogue.evaluation[0]:
            table.add_section()
        table.add_row(
            entry.name,
            entry.dataset,
            f"{entry.episodes:,}",
            f"{entry.frames:,}",
            str(len(entry.usable("train"))),
            str(len(entry.usable("evaluation"))),
            _verdict(entry),
            "yes" if _root(catalogue, entry) else "no",
        )
    console.print(table)
    console.print(str(path), markup=False, highlight=False)
    return 0


def show_entry(argv: list[str]) -> int:
    """Show one data set of a federation, or the whole datasets.yaml."""
    from rich.console import Console

    from agent.commands.data_config import ShowDataConfig
    from agent.commands.parsing import parse

    config = parse(ShowDataConfig, argv, prog="armada data show", positional=("name",))
    path = _path(config.file)
    catalogue = _read(path)
    console = Console(soft_wrap=True)
    if not config.name:
        if config.json:
            console.print_json(json.dumps([_described(catalogue, entry) for entry in catalogue]))
        else:
            console.print(path.read_text(encoding="utf-8"), markup=False, highlight=False, end="")
        return 0
    described = _described(catalogue, catalogue.find(config.name))
    if config.json:
        console.print_json(json.dumps(described))
        return 0
    for name, value in described.items():
        console.print(f"{name:12}{value}", markup=False, highlight=False)
    return 0


def check_catalogue(config: CheckConfig) -> int:
    """Judge what of a datasets.yaml is here and write the verdicts into it.

    Returns:
        0 if something is here and all that is here is clean and of the claimed size.
    """
    from rich.console import Console
    from rich.progress import Progress

    from agent.data.check.finding import Verdict
    from agent.data.federated.catalogue_file import read_catalogue, write_catalogue
    from agent.data.federated.judge import judge, judged

    for flag in ("repair", "pictures"):
        if getattr(config, flag):
            raise ConfigError(
                "is for one data set",
                field=f"--{flag}",
                value=getattr(config, flag),
                remedy="Check that one by its folder or hub id",
            )
    path = Path(config.dataset)
    catalogue = read_catalogue(path)
    console = Console(width=max(Console().width, _WIDTH))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("episodes", total=None)
        judgements = list(judge(catalogue, told=lambda _: progress.advance(task)))
    here = [judgement for judgement in judgements if judgement.here]
    if here:
        write_catalogue(judged(catalogue, judgements), path)
    if config.json:
        console.print_json(json.dumps([judgement.to_json() for judgement in judgements]))
    else:
        _show(console, judgements)
    return 0 if here and all(j.entry.verdict is Verdict.CLEAN for j in here) else 1


def _show(console: Any, judgements: list[Judgement]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "data set", "verdict", "because")
    for judgement in judgements:
        reasons = list(judgement.reasons[:_HOW_MANY_REASONS])
        more = len(judgement.reasons) - len(reasons)
        if more:
            reasons.append(f"and {more} more: armada data check {judgement.entry.dataset}")
        if not judgement.here:
            reasons.append("is not on this machine")
        entry = judgement.entry
        table.add_row(entry.name, entry.dataset, _verdict(entry), Text("\n".join(reasons)))
    console.print(table)


def _path(file: str) -> Path:
    from agent.data.federated.catalogue_file import SHIPPED

    return Path(file) if file else SHIPPED


def _read(path: Path) -> Catalogue:
    from agent.data.federated.catalogue_file import read_catalogue

    return read_catalogue(path)


def _described(catalogue: Catalogue, entry: DataEntry) -> dict[str, Any]:
    from agent.data.federated.numbers import write_numbers

    root = _root(catalogue, entry)
    return {
        "name": entry.name,
        "role": "client" if entry in catalogue.clients else "evaluation",
        "dataset": entry.dataset,
        "episodes": entry.episodes,
        "frames": entry.frames,
        "verdict": _verdict(entry),
        "train": write_numbers(entry.train),
        "evaluation": write_numbers(entry.evaluation),
        "left_out": write_numbers(entry.left_out),
        "folder": str(root) if root else None,
    }


def _root(catalogue: Catalogue, entry: DataEntry) -> Path | None:
    from robots.replay.locate import locate

    try:
        return locate(catalogue.where(entry))
    except DataError:
        return None


def _verdict(entry: DataEntry) -> str:
    return str(entry.verdict or "unchecked")
