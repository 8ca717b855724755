"""The plots of the report, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from agent.demo.play import Result

_COLOURS = ("#2f6fde", "#e0662f", "#2f9e63", "#a04fd0", "#c9a227", "#5f6b7a")


def over_time(
    result: Result, title: str, unit: str, read: Callable[[dict[str, Any]], float | None]
) -> str:
    """One line a robot over the whole demonstration, with the acts and swaps marked.

    Args:
        result: The demonstration.
        title, unit: Of the y axis.
        read: One telemetry to the value; ``None`` where there is none yet.
    """
    _, axes = plt.subplots(figsize=(9, 2.8))
    start = result.acts[0][1]
    for outcome, colour in zip(result.outcomes, _COLOURS * 9, strict=False):
        points = [(t["heard"] - start, read(t)) for t in outcome.series]
        known = [(x, y) for x, y in points if y is not None]
        axes.plot(*zip(*known, strict=True), color=colour, label=outcome.actor.name, lw=1.4)
        for event in outcome.events:
            if event["event"] == "policy_switched":
                axes.axvline(event["time"] - start, color=colour, lw=0.8, ls=":")
    _mark_acts(axes, result)
    axes.set_ylabel(f"{title}, {unit}")
    axes.set_xlabel("s since the start (dotted: a model was swapped in)")
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    return _svg()


def losses(result: Result) -> str:
    """Training loss by step, one line a robot."""
    _, axes = plt.subplots(figsize=(9, 2.8))
    for outcome, colour in zip(result.outcomes, _COLOURS * 9, strict=False):
        values = outcome.local.get("losses") or []
        axes.plot(range(1, len(values) + 1), values, color=colour, label=outcome.actor.name, lw=1)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("flow-matching loss")
    axes.legend(fontsize=8, frameon=False)
    return _svg()


def errors(result: Result) -> str:
    """Held-out error of base and release, a pair of bars a robot."""
    _, axes = plt.subplots(figsize=(9, 2.4))
    for i, outcome in enumerate(result.outcomes):
        data = outcome.decision.get("data", {})
        if "error_current" in data and "error_candidate" in data:
            axes.barh(i + 0.18, data["error_current"], 0.34, color="#aab2bd")
            axes.barh(i - 0.18, data["error_candidate"], 0.34, color=_COLOURS[i % 6])
    axes.set_yticks(range(len(result.outcomes)), [o.actor.name for o in result.outcomes])
    axes.set_xlabel("held-out action error, share of the joints' range (grey: base)")
    return _svg()


def _mark_acts(axes: Axes, result: Result) -> None:
    start = result.acts[0][1]
    for i, (_, began, ended) in enumerate(result.acts):
        if i % 2:
            axes.axvspan(began - start, ended - start, color="#f1f3f6", zorder=0)


def _svg() -> str:
    for side in ("top", "right"):
        plt.gca().spines[side].set_visible(False)
    plt.tight_layout()
    text = io.StringIO()
    plt.savefig(text, format="svg")
    plt.close()
    # From <svg on: the XML and DOCTYPE lines have no place inside a page.
    return text.getvalue()[text.getvalue().index("<svg") :]
