"""What a server may ask of a robot."""

from __future__ import annotations

from typing import Any

import pytest

from agent.training.config import TrainConfig
from robots.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--train.steps=0: must be from 1 to 100000"),
        ({"steps": 10**9}, "--train.steps=1000000000: must be from 1 to 100000"),
        ({"steps": 1.5}, "--train.steps=1.5: must be a whole number"),
        ({"steps": True}, "--train.steps=True: must be a whole number"),
        ({"batch_size": 4096}, "--train.batch_size=4096: must be from 1 to 256"),
        ({"lr": -1e-4}, "--train.lr=-0.0001: must be from 0 to 0.1"),
        ({"lr": float("nan")}, "--train.lr=nan: must be from 0 to 0.1"),
        ({"lr": "fast"}, "--train.lr=fast: must be a number"),
        ({"seed": -1}, "--train.seed=-1: must be from 0"),
        ({"proximal_mu": float("inf")}, "--train.proximal_mu=inf: must be from 0 to 100"),
    ],
)
def test_absurd_values_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrainConfig(**change)
    assert message in str(refused.value)


def test_a_message_carries_it_whole() -> None:
    config = TrainConfig(steps=7, lr=1e-3, proximal_mu=0.5)
    message = {**config.to_dict(), "round-id": 3, "base-digest": "sha256:…"}

    assert TrainConfig.from_dict(message) == config
    del message["steps"]
    with pytest.raises(ConfigError, match=r"train.steps: is missing in the server's message"):
        TrainConfig.from_dict(message)
