"""Accepted updates on the server's disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent.federation.payload import codec
from agent.federation.payload.spec import ENCODINGS
from agent.policy import weights
from robots.errors import FederationError, ModelError
from server.aggregation.stored import StoredUpdate
from tests.server.aggregation.conftest import Store, largest_difference, length, noise, plus


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_update_comes_back_tensor_by_tensor(
    store: Store, start: dict[str, Tensor], encoding: str
) -> None:
    change = noise(1, 0.01)
    update = store("robot1", change, encoding=encoding, report={"episodes": 3})
    again = StoredUpdate.read(update.path)
    assert again == update
    back = {name: again.delta(name, start) for name in start}
    assert {tensor.dtype for tensor in back.values()} == {torch.float32}
    assert largest_difference(back, change) < 3e-4
    assert again.norm == pytest.approx(length(change), rel=0.01)
    assert again.relative_norm == pytest.approx(length(change) / length(start), rel=0.01)


def test_all_of_a_folder_in_order_of_names(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "updates"
    assert StoredUpdate.read_all(folder) == []
    late = store("robot1", noise(3), job="0000", staleness=1)
    first, second = store("robot10", noise(1)), store("robot2", noise(2))
    own = store("robot1", noise(4))
    assert StoredUpdate.read_all(folder) == [late, own, first, second]


def test_without_the_json_there_is_no_update(store: Store, tmp_path: Path) -> None:
    update = store("robot1", noise(1))
    update.path.with_suffix(".json").unlink()
    assert StoredUpdate.read_all(tmp_path / "updates") == []
    with pytest.raises(FederationError, match="can't be read"):
        StoredUpdate.read(update.path)


def test_an_update_that_is_damaged_is_an_error(store: Store) -> None:
    update = store("robot1", noise(1))
    beside = update.path.with_suffix(".json")
    values = json.loads(beside.read_text())
    beside.write_text(json.dumps(values | {"colour": "red"}))
    with pytest.raises(FederationError, match="colour"):
        StoredUpdate.read(update.path)
    beside.write_text(json.dumps(values))
    update.path.unlink()
    with pytest.raises(FederationError, match="no tensors"):
        StoredUpdate.read(update.path)


def test_what_no_robot_could_have_meant_is_not_written(
    start: dict[str, Tensor], tmp_path: Path
) -> None:
    wire = codec.encode(plus(start, noise(1)), start, "fp32")
    wire["expert.b"][2] = math.nan
    path = tmp_path / "robot1.safetensors"
    with pytest.raises(ModelError, match=r"expert\.b"):
        StoredUpdate.write(
            path,
            wire,
            start,
            robot="robot1",
            node="1",
            job="j",
            samples=1,
            encoding="fp32",
            start_digest="",
            update_digest="",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_late_update_is_set_against_its_own_start(
    store: Store, start: dict[str, Tensor], tmp_path: Path
) -> None:
    earlier = noise(50)
    file = tmp_path / "releases" / "start.safetensors"
    file.parent.mkdir()
    weights.save(file, earlier)
    change = noise(1, 0.01)
    update = store("robot1", change, begin=earlier, start_file=file, staleness=2)
    again = StoredUpdate.read(update.path)
    back = {name: again.delta(name, start) for name in start}
    assert largest_difference(back, change) < 1e-6
    assert again.weight(0.5) == pytest.approx(100 / math.sqrt(3))


def test_weights_of_zeros_have_no_length_to_compare_with(
    store: Store, start: dict[str, Tensor]
) -> None:
    zeros = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    assert store("robot1", noise(1), begin=zeros).relative_norm == math.inf
    assert store("robot2", zeros, begin=zeros).relative_norm == 0.0
