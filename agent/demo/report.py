"""The demonstration as one HTML file without anything to load."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from agent.demo import plots
from agent.demo.play import Result
from agent.demo.table import rows


def write_report(result: Result, path: Path) -> None:
    """Write ``path``."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape()
    )
    text = environment.get_template("report.html").render(
        about=result.about,
        names=[outcome.actor.name for outcome in result.outcomes],
        rows=rows(result),
        acts=[(name, ended - began) for name, began, ended in result.acts],
        manifest=result.manifest,
        plots=_plots(result),
        events=_events(result),
    )
    path.write_text(text, encoding="utf-8")


def _plots(result: Result) -> list[tuple[str, str]]:
    return [
        ("Held-out error", plots.errors(result)),
        ("Training", plots.losses(result)),
        (
            "Control rate",
            plots.over_time(result, "rate since start", "Hz", lambda t: t.get("rate_hz")),
        ),
        (
            "Late ticks",
            plots.over_time(result, "late since start", "ticks", lambda t: t.get("late_ticks")),
        ),
        (
            "Chunk latency",
            plots.over_time(
                result, "median of recent chunks", "ms", lambda t: t.get("chunk_latency_ms_p50")
            ),
        ),
        (
            "Starved ticks",
            plots.over_time(result, "starved", "ticks", lambda t: t.get("starved_ticks")),
        ),
    ]


def _events(result: Result) -> list[dict[str, Any]]:
    events = [
        {**event, "clock": time.strftime("%H:%M:%S", time.localtime(event["time"]))}
        for outcome in result.outcomes
        for event in outcome.events
        if event["event"] != "guard"
    ]
    return sorted(events, key=lambda event: event["time"])
