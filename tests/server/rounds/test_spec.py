"""What an operator may ask of a round, and that it is the same wherever it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.training.config import TrainConfig
from robots.errors import ConfigError
from server.aggregation.config import AggregateConfig
from server.rounds.folder import RoundFolder
from server.rounds.messages import request_of, spec_of
from server.rounds.spec import RoundSpec


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"rounds": 0}, r"--rounds=0: must be from 1"),
        ({"fraction": 1.5}, r"--fraction=1.5: must be from 0.001 to 1"),
        ({"min_new_episodes": -1}, r"--min_new_episodes=-1: must be from 0"),
        ({"encoding": "fp8"}, r"--encoding=fp8: isn't known. One of: fp32, bf16, fp16, int8"),
        ({"late": "keep"}, r"--late=keep: isn't known. One of: fold, drop"),
        ({"normaliser": "global"}, r"--normaliser=global: isn't known"),
        ({"by": "x" * 101}, r"--by=x+: must be at most 100 characters"),
        (
            {"aggregation": AggregateConfig(strategy="krum"), "min_robots": 4},
            r"--min_robots=4: is too few for krum. It needs 5 updates",
        ),
    ],
)
def test_absurd_requests_are_refused(values: dict[str, Any], refused: str) -> None:
    with pytest.raises(ConfigError, match=refused):
        RoundSpec(**values)


def test_a_training_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--train.steps=100000000: must be from 1 to 100000"):
        TrainConfig(steps=100_000_000)


def test_a_request_is_the_same_on_both_sides_and_on_the_disk(tmp_path: Path) -> None:
    spec = RoundSpec(
        rounds=3,
        min_robots=5,
        wait_s=7,
        timeout_s=90,
        evaluate=True,
        train=TrainConfig(steps=4, batch_size=2, lr=1e-3, seed=9, proximal_mu=0.25),
        encoding="int8",
        fraction=0.5,
        min_new_episodes=2,
        late="drop",
        normaliser="pooled",
        aggregation=AggregateConfig(strategy="krum", max_norm=0.5, too_long="clip"),
        queue=True,
        by="ada",
    )
    folder = RoundFolder(tmp_path)
    folder.write_spec(spec)

    assert spec_of(request_of(spec)) == folder.spec == spec
