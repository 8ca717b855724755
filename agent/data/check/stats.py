"""Statistics that are kept beside the data, recomputed: policies normalise by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Weight

_WITHIN = 1e-3
"""Of the range: LeRobot merges the episodes' own, in other orders and precisions."""


def check_stats(root: Path, vectors: Mapping[str, NDArray[np.float32]]) -> list[Finding]:
    """Compare ``meta/stats.json`` with the rows.

    Args:
        root: The data set.
        vectors: Feature → (N, D) all its rows.
    """
    try:
        kept = json.loads((root / "meta" / "stats.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        detail = f"meta/stats.json can't be read: {error}"
        return [Finding(rule="stats", weight=Weight.MENDABLE, detail=detail)]
    found = []
    for name, values in vectors.items():
        if not values.size:
            continue
        if off := _off(kept.get(name), values):
            detail = f"meta/stats.json says otherwise than its rows: {off}"
            found.append(Finding(rule="stats", weight=Weight.MENDABLE, feature=name, detail=detail))
    return found


def _off(kept: object, values: NDArray[np.float32]) -> str:
    if not isinstance(kept, dict):
        return "it has none"
    wide = values.astype(np.float64)
    true = {"min": wide.min(0), "max": wide.max(0), "mean": wide.mean(0), "std": wide.std(0)}
    scale = np.maximum(true["max"] - true["min"], 1.0)
    for name, value in true.items():
        said = np.asarray(kept.get(name, np.nan), np.float64).reshape(-1)
        if said.shape != value.shape:
            return f"{name} has {said.size} numbers, not {value.size}"
        wrong = ~(np.abs(said - value) <= _WITHIN * scale)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            return f"{name}[{at}] is {value[at]:.4f}, it says {said[at]:.4f}"
    return ""
