"""A round with as many liars as honest robots: each is refused or bounded, and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from server.aggregation.config import AggregateConfig
from server.base import Base
from server.rounds.closing import release
from server.rounds.progress import Progress, Seat
from server.rounds.spec import RoundSpec
from server.rounds.starts import Starts
from tests.server.rounds.answers import Round, update

HONEST = {f"honest{i}": 0.010 + 0.001 * i for i in range(5)}


def not_a_number(wire: dict[str, Tensor]) -> None:
    wire[min(wire)].view(-1)[0] = torch.nan


def wrong_shape(wire: dict[str, Tensor]) -> None:
    wire[min(wire)] = torch.zeros(3, 3, 3)


def wrong_names(wire: dict[str, Tensor]) -> None:
    wire["vlm." + min(wire)] = wire.pop(min(wire))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"change": not_a_number}, "not finite"),
    "shape": ({"change": wrong_shape}, "has shape (3, 3, 3)"),
    "names": ({"change": wrong_names}, "is missing"),
    "base": ({"start_digest": "sha256:of-another-base"}, "isn't what the job starts from"),
    "replay": ({"by": HONEST["honest0"]}, "repeats honest0's"),
    "thousandfold": ({"by": 10.0}, "more than the 2 of --aggregation.max_norm"),
}


@pytest.mark.parametrize("strategy", ["median", "trimmed-mean", "krum", "fedavg"])
def test_each_liar_costs_its_own_reply(tmp_path: Path, base: Base, strategy: str) -> None:
    begun = Round(tmp_path, base)
    robots = [*HONEST, *REFUSED, "flipped"]
    begun.progress.seats = {str(n): Seat() for n in range(len(robots))}
    begun.online = frozenset(begun.progress.seats)
    said = {name: {"by": by} for name, by in HONEST.items()}
    said |= {name: what for name, (what, _) in REFUSED.items()} | {"flipped": {"by": -0.012}}
    for node, robot in enumerate(robots):
        begun.hear(str(node), update(begun, robot=robot, **said[robot]))
    parameters = {"trimmed-mean": {"beta": 0.2}}.get(strategy, {})
    config = AggregateConfig(strategy=strategy, parameters=parameters, max_norm=2.0)

    manifest = release(
        begun.folder,
        Progress.load(begun.folder),
        RoundSpec(min_robots=5, aggregation=config),
        base=base,
        releases=begun.releases,
        starts=Starts(begun.releases),
        run=1,
        emit=begun.folder.events.emit,
    )

    reasons = {e.data["robot"]: e.data["reason"] for e in begun.events if e.kind == "dropped"}
    assert reasons.keys() == REFUSED.keys()
    for robot, (_, reason) in REFUSED.items():
        assert reason in reasons[robot]
    name = min(begun.start)
    moved = float((begun.releases.trainable(1)[name] - begun.start[name]).mean())
    # One of six with its sign flipped pulls the mean; the others leave it out.
    low = 0.007 if strategy == "fedavg" else min(HONEST.values())
    assert low < moved + 1e-5
    assert moved < max(HONEST.values()) + 1e-5
    took_part = {p["robot"] for p in manifest["participants"]}
    assert took_part <= {*HONEST, "flipped"}
