"""What a robot says that it has."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.data.fingerprint import fingerprints
from agent.data.used import note_trained
from agent.link import stock as stock_module
from agent.link.stock import Stock, StockTaker
from agent.policy.store import ModelStore
from agent.recorder.marks import write_marks
from robots.replay.info import read_info


async def until(taker: StockTaker, condition: Callable[[Stock], bool]) -> Stock:
    task = asyncio.create_task(taker.run())
    try:
        async with asyncio.timeout(120):
            while not condition(taker.stock):
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return taker.stock


async def test_episodes_new_ones_and_the_release_are_counted_when_they_change(
    small_dataset: Path, tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_module, "COUNT_S", 0.0)
    monkeypatch.setattr(stock_module, "_LOOK_S", 0.05)
    root = tmp_path / "data"
    taker = StockTaker(root, tmp_path / "models")
    assert taker.stock == Stock(0, 0, 0)

    shutil.copytree(small_dataset, root)
    assert await until(taker, lambda s: s.episodes > 0) == Stock(3, 3, 0)

    first = fingerprints(read_info(root), [0])
    note_trained(root, list(first.values()))
    store = ModelStore(tmp_path / "models")
    store.promote(store.add(tiny_policy, origin={"release": 4}))
    assert await until(taker, lambda s: s.new_episodes < 3) == Stock(3, 2, 4)

    write_marks(root, 1, {"verdict": "REJECTED"})
    assert await until(taker, lambda s: s.episodes < 3) == Stock(2, 1, 4)
    taker = StockTaker(root, tmp_path / "models", unclean=True)
    assert await until(taker, lambda s: s.episodes > 0) == Stock(3, 2, 4)


def test_a_data_set_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "agent.data.count", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr


def test_the_link_brings_no_torch() -> None:
    code = "import sys, agent.link.link; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
