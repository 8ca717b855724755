"""In what two policy folders differ: numbers by part of the network, configuration, processors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agent.policy import atomic, weights
from agent.policy.fingerprint import VLM, model_files
from agent.policy.store import WEIGHTS

_DEPTH = 3
"""Parts of a tensor's name that make a group: ``model.vlm_with_expert.lm_expert``."""

_PLACES = ("vlm_model_name", "tokenizer_name")
"""Where a policy that brings its VLM along says that it lies; no difference between two."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tensors whose names begin alike.

    Args:
        name: What they begin with.
        numbers: How many there are.
        norm: L2 norm of the first policy's.
        change: L2 norm of the difference.
    """

    name: str
    numbers: int
    norm: float
    change: float

    @property
    def relative(self) -> float:
        """The change in parts of what it changes."""
        return self.change / self.norm if self.norm else math.inf if self.change else 0.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found.

    Args:
        groups: Of the tensors that both have.
        names: Tensors that one lacks, or that have another shape.
        files: Other differences, one a line.
    """

    groups: list[Group]
    names: list[str]
    files: list[str]

    @property
    def differ(self) -> bool:
        return bool(self.names or self.files or any(g.change for g in self.groups))

    @property
    def way(self) -> float:
        """L2 norm of the whole change, in parts of the groups that it changes."""
        changed = [group for group in self.groups if group.change]
        whole = Group(
            name="",
            numbers=sum(group.numbers for group in changed),
            norm=math.hypot(*(group.norm for group in changed)),
            change=math.hypot(*(group.change for group in changed)),
        )
        return whole.relative

    def to_json(self) -> dict[str, Any]:
        groups = [
            asdict(g) | {"relative": g.relative if math.isfinite(g.relative) else None}
            for g in self.groups
        ]
        return {"groups": groups, "tensors": self.names, "files": self.files}


def compare(one: Path, other: Path) -> Comparison:
    """Compare two policy folders, a tensor of each in memory at a time.

    Raises:
        ModelError: one of them can't be read.
    """
    mine, theirs = weights.file_names(one / WEIGHTS), weights.file_names(other / WEIGHTS)
    names = [f"{name} is only in the first" for name in sorted(mine - theirs)]
    names += [f"{name} is only in the second" for name in sorted(theirs - mine)]
    sums: dict[str, list[float]] = {}
    for name in sorted(mine & theirs):
        a, b = (weights.load(folder / WEIGHTS, [name])[name] for folder in (one, other))
        if a.shape != b.shape:
            names.append(f"{name} has shape {tuple(a.shape)} and {tuple(b.shape)}")
            continue
        total = sums.setdefault(_group(name), [0.0, 0.0, 0.0])
        total[0] += a.numel()
        total[1] += _squares(a.double())
        total[2] += _squares(b.double() - a.double())
    groups = [
        Group(name=name, numbers=int(n), norm=math.sqrt(norm), change=math.sqrt(change))
        for name, (n, norm, change) in sums.items()
    ]
    return Comparison(groups=groups, names=names, files=list(_files(one, other)))


def _files(one: Path, other: Path) -> Iterator[str]:
    mine, theirs = set(model_files(one)) - {WEIGHTS}, set(model_files(other)) - {WEIGHTS}
    for name in sorted(mine ^ theirs):
        yield f"{name} is only in the {'first' if name in mine else 'second'}"
    for name in sorted(mine & theirs):
        if atomic.sha256(one / name) == atomic.sha256(other / name):
            continue
        if name.endswith(".json") and not name.startswith(f"{VLM}/"):
            a, b = (dict(_flat(json.loads((f / name).read_text()))) for f in (one, other))
            for key in sorted(a.keys() | b.keys()):
                if a.get(key) != b.get(key) and not key.endswith(_PLACES):
                    yield f"{name} {key}: {a.get(key)} and {b.get(key)}"
        elif name.endswith(".safetensors"):
            yield from (f"{name} {line}" for line in _tensors(one / name, other / name))
        else:
            yield f"{name} differs"


def _tensors(one: Path, other: Path) -> Iterator[str]:
    """Statistics that processors normalise with are small files of tensors."""
    a, b = weights.load(one), weights.load(other)
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            yield f"{name} is only in the {'first' if name in a else 'second'}"
        elif a[name].shape != b[name].shape:
            yield f"{name} has shape {tuple(a[name].shape)} and {tuple(b[name].shape)}"
        elif not torch.equal(a[name], b[name]):
            worst = float((b[name].double() - a[name].double()).abs().max())
            yield f"{name} differs by up to {worst:.4g}"


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """A JSON value's leaves by their path."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{index}]")
    else:
        yield key, value


def _group(name: str) -> str:
    parts = name.split(".")[:-1]
    return ".".join(parts[:_DEPTH]) or name


def _squares(tensor: Tensor) -> float:
    return float(tensor.square().sum())
