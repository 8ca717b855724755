"""A simulation on a terminal: bars for rounds and clients, a line for what matters, a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_NONE = "–"
_DOES = {"train": "clients train", "evaluate": "clients measure"}
_LOUD = {"failed": "red", "declined": "yellow", "finished": "green"}


class SimulationView:
    """Shows the events of a simulation.

    Args:
        console: The terminal.
        rounds: How many there will be.
    """

    def __init__(self, console: Console, rounds: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._rounds = self._progress.add_task("starting Flower", total=rounds)
        self._clients = self._progress.add_task("clients", total=None)

    def __enter__(self) -> SimulationView:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, event: Mapping[str, Any]) -> None:
        """Take the next event."""
        kind = event["kind"]
        if kind == "sent":
            self._progress.update(self._rounds, description=f"round {event['round']}")
            self._progress.update(
                self._clients,
                description=_DOES[event["phase"]],
                total=event["clients"],
                completed=0,
            )
        elif kind in ("reply", "declined"):
            self._progress.advance(self._clients)
        elif kind == "round":
            self._progress.update(self._rounds, completed=event["round"])
        if kind in ("round", "declined"):
            self._progress.console.print(
                sentence(kind, event),
                style=_LOUD.get(kind),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """An event in words."""
    if kind == "sent":
        return f"round {data['round']}: {data['clients']} {_DOES[data['phase']]}"
    if kind == "reply":
        said = (
            f"loss {data['loss_first']:.4f} → {data['loss_last']:.4f}"
            if data["phase"] == "train"
            else f"held-out error {data['held_out_error']:.4f}"
        )
        return f"round {data['round']}: {data['client']}: {said}"
    if kind == "declined":
        return f"round {data['round']}: {data['client']} declined: {data['reason']}"
    if kind == "round":
        loss = f"loss {data['loss_last']:.4f}, " if "loss_last" in data else ""
        return f"round {data['round']}: {loss}held-out error {_number(data, 'held_out_error')}"
    if kind == "failed":
        return f"failed after {data['seconds']:.0f} s: {data['reason']}"
    return f"finished after {data['seconds']:.0f} s"


def summary(report: Mapping[str, Any]) -> Table:
    """The rounds of a ``report.json``."""
    config = report["config"]
    table = Table(
        "round",
        "trained",
        "loss, first tenth",
        "last tenth",
        "held-out error",
        "worst client",
        "best client",
        title=f"{config['strategy']}, {len(report['clients'])} clients, "
        f"{config['train.steps']} steps × {config['train.batch-size']} frames",
    )
    for entry in report["rounds"]:
        clients = entry["clients"].values()
        errors = [c["held_out_error"] for c in clients if "held_out_error" in c]
        trained = sum("samples" in c for c in clients)
        table.add_row(
            str(entry["round"]),
            str(trained) if entry["round"] else _NONE,
            _number(entry, "loss_first"),
            _number(entry, "loss_last"),
            _number(entry, "held_out_error"),
            f"{max(errors):.4f}" if errors else _NONE,
            f"{min(errors):.4f}" if errors else _NONE,
        )
    return table


def _number(values: Mapping[str, Any], name: str) -> str:
    return f"{values[name]:.4f}" if name in values else _NONE
