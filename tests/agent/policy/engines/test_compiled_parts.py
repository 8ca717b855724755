"""SmolVLA through ``torch.compile``: LeRobot's chunk, from graphs that are made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from agent.policy.engines.choice import choose_engine
from agent.policy.load import LoadedPolicy, load_policy
from robots.errors import ModelError
from tests.agent.policy.engines.conftest import TASKS, make_batch, make_noise, row
from tests.agent.policy.engines.test_smolvla import EXACT, lerobot

pytestmark = pytest.mark.timeout(600)

Engines = Callable[..., LoadedPolicy]
GRAPHS = 3
"""Vision (both cameras are resized to one size), prefix, step."""


def test_one_robots_chunk_is_lerobots_and_another_task_compiles_nothing(
    engines: Engines, stock: LoadedPolicy
) -> None:
    engine = engines("smolvla-compiled").engine
    batch, noise = make_batch(stock), make_noise(stock, 3)

    for i in range(len(TASKS)):
        alone, drawn = row(batch, i), noise[i : i + 1]
        chunk = engine.predict(alone, robots=["a"], noise=drawn)
        torch.testing.assert_close(chunk, lerobot(stock, alone, drawn), atol=EXACT, rtol=0)
        assert counters["stats"]["unique_graphs"] == GRAPHS

    assert (engine.name, engine.exact) == ("smolvla-compiled", True)


def test_several_robots_share_a_pass_that_is_not_compiled(
    engines: Engines, stock: LoadedPolicy
) -> None:
    engine = engines("smolvla-compiled").engine
    batch, noise = make_batch(stock), make_noise(stock, 3)
    before = counters["stats"]["unique_graphs"]

    chunks = engine.predict(batch, robots="abc", noise=noise)

    torch.testing.assert_close(chunks, lerobot(stock, batch, noise), atol=EXACT, rtol=0)
    assert counters["stats"]["unique_graphs"] == before


def test_without_a_compiler_it_says_what_to_install(
    two_cameras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ModelError, match=r"smolvla-compiled.*C\+\+ compiler.*apt install"):
        choose_engine(load_policy(str(two_cameras)), name="smolvla-compiled")
