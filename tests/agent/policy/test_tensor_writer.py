"""A file written tensor by tensor is the file that the library reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from agent.policy import weights
from agent.policy.tensor_writer import writing

TENSORS = {"b": torch.randn(3, 4), "a": torch.randn(()), "empty": torch.zeros(0, 2)}
SHAPES = {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


def test_it_reads_as_it_was_written_in_whichever_order(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    with writing(path, SHAPES, {"job": "one"}) as writer:
        for name, tensor in TENSORS.items():
            writer.write(name, tensor)

    assert weights.digest(weights.load(path)) == weights.digest(TENSORS)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"job": "one"}


def test_what_is_not_written_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    with writing(path, SHAPES, {}):
        pass
    assert not any(tensor.any() for tensor in weights.load(path).values())


def test_it_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"

    def killed() -> None:
        with writing(path, SHAPES, {}) as writer:
            writer.write("a", TENSORS["a"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(tmp_path.iterdir()) == []
