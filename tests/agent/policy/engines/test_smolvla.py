"""Our own way to SmolVLA's chunk, against LeRobot's for the same noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from agent.policy.engines.choice import use_engine
from agent.policy.guidance import Guidance
from agent.policy.load import LoadedPolicy, load_policy
from agent.policy.predict import Ask, predict_chunks
from robots.errors import ModelError
from tests.agent.policy.engines.conftest import CAMERAS, TASKS, make_batch, make_noise, row

OURS = ("smolvla-torch", "onnx")
EXACT = 1e-5
"""In normalised actions, whose range is some ±3: a hundredth of what is promised."""

Engines = Callable[..., LoadedPolicy]


def lerobot(stock: LoadedPolicy, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
    chunk: Tensor = stock.policy.predict_action_chunk(dict(batch), noise=noise)
    return chunk


@pytest.mark.parametrize("name", OURS)
def test_a_chunk_is_lerobots(engines: Engines, stock: LoadedPolicy, name: str) -> None:
    batch, noise = make_batch(stock, TASKS[:1]), make_noise(stock, 1)
    engine = engines(name).engine

    chunk = engine.predict(batch, robots=["a"], noise=noise)

    assert engine.exact
    assert engine.name == name
    torch.testing.assert_close(chunk, lerobot(stock, batch, noise), atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", OURS)
def test_robots_in_one_pass_get_what_each_would_get_alone(
    engines: Engines, stock: LoadedPolicy, name: str
) -> None:
    batch, noise = make_batch(stock), make_noise(stock, 3)
    engine = engines(name).engine

    together = engine.predict(batch, robots=["a", "b", "c"], noise=noise)

    torch.testing.assert_close(together, lerobot(stock, batch, noise), atol=EXACT, rtol=0)
    for i in range(3):
        alone = engine.predict(row(batch, i), robots=["a"], noise=noise[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "override",
    [
        "num_steps=3",
        "empty_cameras=1",
        "prefix_length=60",
        "pad_language_to=max_length",
    ],
)
def test_the_policys_own_settings_are_followed(
    engines: Engines, two_cameras: Path, name: str, override: str
) -> None:
    stock = load_policy(str(two_cameras), overrides=[override])
    cameras = ("wrist",) if override.startswith("empty") else ("front", "wrist")
    batch, noise = make_batch(stock, cameras=cameras), make_noise(stock, 3)

    chunk = engines(name, "exact", override).engine.predict(batch, robots="abc", noise=noise)

    torch.testing.assert_close(chunk, lerobot(stock, batch, noise), atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", OURS)
def test_a_camera_that_one_robot_lacks(engines: Engines, stock: LoadedPolicy, name: str) -> None:
    batch, noise = make_batch(stock), make_noise(stock, 3)
    batch["observation.images.front_padding_mask"] = torch.tensor([True, False, True])

    chunk = engines(name).engine.predict(batch, robots="abc", noise=noise)

    torch.testing.assert_close(chunk, lerobot(stock, batch, noise), atol=EXACT, rtol=0)


def test_eight_bits_are_near_and_say_that_they_are_not_exact(
    engines: Engines, stock: LoadedPolicy
) -> None:
    batch, noise = make_batch(stock), make_noise(stock, 3)
    engine = engines("onnx", "8bit").engine

    chunk = engine.predict(batch, robots="abc", noise=noise)
    exact = lerobot(stock, batch, noise)

    assert not engine.exact
    assert engine.name == "onnx-8bit"
    assert 1e-6 < float((chunk - exact).norm() / exact.norm()) < 0.05


def test_in_eight_bits_a_robots_chunk_is_the_same_alone_and_in_company(engines: Engines) -> None:
    """Though the runtime finds one scale for all rows of a pass."""
    random = np.random.default_rng(3)
    eight_bits = engines("onnx", "8bit")
    asks = [
        Ask(
            # Far from one another, so that a scale for all fits none.
            state=random.normal(0, 10.0**i, 6).astype(np.float32),
            images={
                key: random.integers(0, 4 ** (i + 2), (*size, 3), np.uint8)
                for key, size in CAMERAS.items()
            },
            task="go",
            seed=i,
        )
        for i in range(3)
    ]

    together = predict_chunks(eight_bits, asks)

    assert not eight_bits.engine.independent
    for ask, answer in zip(asks, together, strict=True):
        (alone,) = predict_chunks(eight_bits, [ask])
        assert np.array_equal(answer.chunk, alone.chunk)


def test_bf16_is_near_and_says_that_it_is_not_exact(engines: Engines, stock: LoadedPolicy) -> None:
    batch, noise = make_batch(stock), make_noise(stock, 3)
    engine = engines("auto", "bf16").engine

    chunk = engine.predict(batch, robots="abc", noise=noise)
    exact = lerobot(stock, batch, noise)

    assert not engine.exact
    assert chunk.dtype == torch.float32
    assert 1e-6 < float((chunk - exact).norm() / exact.norm()) < 0.05


def test_weights_as_published(two_cameras: Path) -> None:
    """The language model in bf16, the expert in fp32, as on a GPU."""
    loaded = load_policy(str(two_cameras))
    vlm = loaded.policy.model.vlm_with_expert.vlm  # type: ignore[union-attr,operator]
    vlm.to(torch.bfloat16)  # type: ignore[operator,union-attr]
    batch, noise = make_batch(loaded), make_noise(loaded, 3)

    chunk = use_engine(loaded, name="smolvla-torch").engine.predict(
        batch, robots="abc", noise=noise
    )

    exact = lerobot(loaded, batch, noise)
    assert float((chunk - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("exact", [True, False])
def test_a_chunk_continues_a_plan(
    engines: Engines, stock: LoadedPolicy, name: str, exact: bool
) -> None:
    batch, noise = make_batch(stock), make_noise(stock, 3)
    plan = torch.full((20, 6), 0.3)

    def guidance() -> Guidance:
        # The second robot has nothing planned.
        return Guidance([plan, None, plan], [8, 0, 4], horizon=10, exact=exact)

    engine = engines(name).engine
    guided = engine.predict(batch, robots="abc", noise=noise, guidance=guidance())
    free = engine.predict(batch, robots="abc", noise=noise)
    same = stock.engine.predict(batch, robots="abc", noise=noise, guidance=guidance())

    torch.testing.assert_close(guided, same, atol=10 * EXACT, rtol=0)
    torch.testing.assert_close(guided[1], free[1], atol=EXACT, rtol=0)
    held = [(chunk[0, :8] - 0.3).abs().mean() for chunk in (guided, free)]
    assert held[0] < held[1] / 2


def test_noise_is_drawn_where_none_is_given(engines: Engines, stock: LoadedPolicy) -> None:
    batch, engine = make_batch(stock), engines("smolvla-torch").engine

    one, two = (engine.predict(batch, robots="abc") for _ in range(2))

    assert one.shape == (3, stock.config.chunk_size, 6)  # type: ignore[attr-defined]
    assert not torch.equal(one, two)


def test_the_same_from_the_robots_own_pictures(engines: Engines, stock: LoadedPolicy) -> None:
    random = np.random.default_rng(3)
    ask = Ask(
        state=random.normal(0, 40, 6).astype(np.float32),
        images={
            "front": random.integers(0, 256, (48, 64, 3), np.uint8),
            "wrist": random.integers(0, 256, (64, 64, 3), np.uint8),
        },
        task="pick up the cube",
        seed=5,
    )

    chunks = [predict_chunks(loaded, [ask])[0].chunk for loaded in (stock, engines("onnx"))]

    np.testing.assert_allclose(chunks[1], chunks[0], atol=1e-3)


def test_the_runtime_takes_the_weights_over(engines: Engines) -> None:
    taken = engines("onnx")

    with pytest.raises(ModelError, match=r"taken over by another engine.*Load it again"):
        use_engine(taken, name="smolvla-torch")
    kept = sum(p.numel() for p in taken.policy.parameters() if not p.is_meta)
    assert kept < sum(p.numel() for p in taken.policy.parameters()) * 0.7
