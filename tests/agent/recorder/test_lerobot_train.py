"""What is recorded here goes through LeRobot's own training script, marks and all."""

from __future__ import annotations

from pathlib import Path

import pytest
from lerobot.configs.default import DatasetConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.scripts.lerobot_train import train

from tests.agent.recorder.frames import record, writer


def test_lerobot_train_learns_from_it_as_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data, out = tmp_path / "data", tmp_path / "out"
    to = writer(data)
    for mark in range(2):
        record(to, mark, frames=20)
    small = {"dim_model": 16, "n_heads": 2, "dim_feedforward": 16, "chunk_size": 4}
    train(
        TrainPipelineConfig(
            dataset=DatasetConfig(repo_id="local/data", root=str(data)),
            policy=ACTConfig(
                **small,
                n_action_steps=4,
                device="cpu",
                pretrained_backbone_weights=None,
                push_to_hub=False,
            ),
            output_dir=out,
            batch_size=2,
            steps=2,
            num_workers=0,
        )
    )
    (weights,) = out.glob("checkpoints/*2/pretrained_model/model.safetensors")
    assert weights.stat().st_size > 0
