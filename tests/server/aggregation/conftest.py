"""A small fleet: weights to start from, and robots that learned something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agent.federation.payload import codec
from agent.policy import weights
from server.aggregation.stored import StoredUpdate

SHAPES = {"expert.a": (6, 5), "expert.b": (7,), "expert.c": (3, 4, 2), "expert.d": ()}


def noise(seed: int, size: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: size * torch.randn(shape, generator=generator) for k, shape in SHAPES.items()}


def plus(start: Mapping[str, Tensor], change: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: start[name] + change[name] for name in start}


@pytest.fixture
def start() -> dict[str, Tensor]:
    return noise(100)


Store = Callable[..., StoredUpdate]


@pytest.fixture
def store(tmp_path: Path, start: dict[str, Tensor]) -> Store:
    """``store("robot1", change)``: what the robot changed, as it lies on the server's disk."""

    def one(
        robot: str, change: Mapping[str, Tensor], *, encoding: str = "fp32", **values: Any
    ) -> StoredUpdate:
        begin = values.pop("begin", start)
        wire = codec.encode(plus(begin, change), begin, encoding)
        job = values.pop("job", "0001-001-train-abc")
        return StoredUpdate.write(
            tmp_path / "updates" / f"{robot}-{job}.safetensors",
            wire,
            begin,
            **{
                "robot": robot,
                "node": "7",
                "job": job,
                "samples": 100,
                "encoding": encoding,
                "start_digest": weights.digest(begin),
                "update_digest": weights.digest(wire),
            }
            | values,
        )

    return one


def largest_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in one)


def length(tensors: Mapping[str, Tensor]) -> float:
    return codec.length(tensors)
