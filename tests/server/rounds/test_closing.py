"""From updates on the disk to a release: once, whoever is killed in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robots.errors import FederationError
from server.aggregation.config import AggregateConfig
from server.base import Base
from server.rounds.closing import check_enough, drop_released, release
from server.rounds.progress import OUT, Progress, Seat
from server.rounds.spec import RoundSpec
from server.rounds.starts import Starts
from tests.server.rounds.answers import Round, update


def close(begun: Round, base: Base, spec: RoundSpec) -> dict[str, Any]:
    return release(
        begun.folder,
        Progress.load(begun.folder),
        spec,
        base=base,
        releases=begun.releases,
        starts=Starts(begun.releases),
        run=1,
        emit=begun.folder.events.emit,
    )


def test_a_release_is_made_once_however_often_a_round_is_closed(tmp_path: Path, base: Base) -> None:
    begun = Round(tmp_path, base)
    begun.hear("7", update(begun, by=1.0, samples=10))
    begun.hear("8", update(begun, robot="right", by=2.0, samples=30))
    spec = RoundSpec(min_robots=2)
    check_enough(begun.folder, begun.progress, spec)

    manifest = close(begun, base, spec)

    assert close(begun, base, spec) == manifest
    assert begun.releases.versions() == [1]
    assert [e.kind for e in begun.events].count("released") == 1
    name = sorted(begun.start)[0]
    moved = begun.releases.trainable(1)[name] - begun.start[name]
    assert moved.flatten().tolist() == pytest.approx([1.75] * moved.numel(), abs=1e-5)
    assert [p["robot"] for p in manifest["participants"]] == ["left", "right"]
    assert (manifest["samples"], manifest["metrics"]["loss-first"]) == (40, 1.0)


def test_a_failure_of_many_robots_has_a_reason_that_fits_into_a_message(
    tmp_path: Path, base: Base
) -> None:
    begun = Round(tmp_path, base)
    begun.progress.seats = {str(n): Seat(f"r{n}", OUT, "x" * 1000) for n in range(5000)}

    with pytest.raises(FederationError, match="; and 4980 more") as refused:
        check_enough(begun.folder, begun.progress, RoundSpec())
    assert len(str(refused.value)) < 30_000


def test_what_is_in_a_release_is_deleted_and_nothing_else(tmp_path: Path, base: Base) -> None:
    begun = Round(tmp_path, base)
    begun.hear("7", update(begun))
    earlier = begun.folder.updates(1)
    earlier.mkdir()

    drop_released(begun.folder, begun.progress)
    assert not earlier.exists()
    assert [u.robot for u in begun.updates] == ["left"]

    begun.progress.release = close(begun, base, RoundSpec())["version"]
    drop_released(begun.folder, begun.progress)
    assert begun.updates == []


@pytest.mark.parametrize("encoding", ["fp32", "int8"])
def test_a_server_optimiser_goes_on_from_release_to_release(
    tmp_path: Path, base: Base, encoding: str
) -> None:
    spec = RoundSpec(encoding=encoding, aggregation=AggregateConfig(strategy="fedavgm"))
    for number in (1, 2, 3):
        begun = Round(tmp_path, base, number=number, encoding=encoding)
        begun.hear("7", update(begun, by=0.37 / number))
        assert close(begun, base, spec)["metrics"]["optimiser-steps"] == number
