"""The robot's normaliser is frozen whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.training.processors import load_with_own_processors, own_stats
from tests.disk import Disk


def test_a_power_cut_takes_nothing_of_what_is_frozen_for_good(
    policy: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    folder = tmp_path / "processors"

    load_with_own_processors(
        str(policy), folder, stats=own_stats(dataset, {}), device="cpu", pooled=""
    )

    assert disk.keeps(folder)
