"""Federated data sets in the shape of Flower's: plain LeRobot data sets come out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from flwr_datasets import FederatedDataset
from flwr_datasets.partitioner import Partitioner
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import ConcatDataset, DataLoader

from agent.data.federated.dataset import FederatedLeRobotDataset
from agent.data.federated.partitioner import LeRobotDatasetPartitioner
from robots.errors import ArmadaError, ConfigError, DataError
from tests.datasets import make_dataset


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("sets") / "seven", episodes=7, frames=12)


def numbers(view: LeRobotDataset) -> set[int]:
    return {int(n) for n in view.hf_dataset["episode_index"]}


def test_one_data_set_is_divided_among_clients(seven: Path) -> None:
    fds = FederatedLeRobotDataset(dataset=seven, partitioners={"train": 3})

    parts = [fds.load_partition(i) for i in range(fds.partitioners["train"].num_partitions)]

    assert all(isinstance(part, LeRobotDataset) for part in parts)
    assert sorted(n for part in parts for n in numbers(part)) == [0, 1, 2, 3, 4, 5]
    assert [len(part) for part in parts] == [24, 24, 24]
    test = fds.load_split("test")
    assert isinstance(test, LeRobotDataset)
    assert numbers(test) == {6}


def test_a_view_is_what_lerobot_itself_opens(seven: Path) -> None:
    fds = FederatedLeRobotDataset(
        dataset=seven, partitioners={"train": 2}, delta_timestamps={"action": [0.0, 0.1, 0.2]}
    )
    view = fds.load_partition(1, "train")
    batch = next(iter(DataLoader(view, batch_size=4, shuffle=True)))
    plain = LeRobotDataset("test/seven", root=seven, episodes=sorted(numbers(view)))

    assert batch["action"].shape == (4, 3, 6)
    assert len(view) == len(plain)
    assert torch.equal(view[5]["observation.state"], plain[5]["observation.state"])


def test_a_partitioner_stands_alone_as_flowers_do(seven: Path) -> None:
    partitioner = LeRobotDatasetPartitioner.by_size([1, 2], seed=5)
    assert not partitioner.is_dataset_assigned()
    with pytest.raises(AttributeError):
        _ = partitioner.dataset
    with pytest.raises(TypeError, match="must be a LeRobotDataset"):
        partitioner.dataset = [1, 2]

    whole = LeRobotDataset(
        "test/seven", root=seven, episodes=[0, 2, 4, 5], image_transforms=lambda image: image * 0
    )
    partitioner.dataset = whole
    views = [partitioner.load_partition(i) for i in range(partitioner.num_partitions)]

    assert sorted(n for view in views for n in numbers(view)) == [0, 2, 4, 5]
    assert float(views[0][0]["observation.images.front"].max()) == 0.0
    with pytest.raises(ValueError, match="only once"):
        partitioner.dataset = whole
    with pytest.raises(ConfigError, match="There are 0 to 1"):
        partitioner.load_partition(2)


@pytest.mark.parametrize("method", ["load_partition", "load_split"])
def test_it_is_called_as_flowers_is(method: str) -> None:
    def called(kind: type) -> list[tuple[str, object]]:
        function: Callable[..., object] = getattr(kind, method)
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert called(FederatedLeRobotDataset) == called(FederatedDataset)
    assert isinstance(FederatedLeRobotDataset.partitioners, property)
    public = {name for name in vars(Partitioner) if not name.startswith("_")}
    assert public <= set(vars(LeRobotDatasetPartitioner))


def test_a_catalogue_gives_each_client_its_own(seven: Path, small_dataset: Path) -> None:
    path = seven.parent / "datasets.yaml"
    clients = [
        {"name": "a", "dataset": "seven", "episodes": 7, "frames": 84, "left_out": "1"},
        {"name": "b", "dataset": str(small_dataset), "episodes": 3, "frames": 72},
        {"name": "c", "dataset": "me/elsewhere", "episodes": 3, "frames": 72},
        {"name": "d", "dataset": str(small_dataset), "episodes": 3, "frames": 71, "train": ""},
        {"name": "e", "dataset": "elsewhere", "episodes": 1, "frames": 9, "train": ""},
    ]
    path.write_text(yaml.safe_dump({"clients": clients}))
    fds = FederatedLeRobotDataset.of_catalogue(path)

    assert {name: p.num_partitions for name, p in fds.partitioners.items()} == {
        "train": 5,
        "test": 5,
    }
    assert numbers(fds.load_partition(0, "train")) == {0, 2, 3, 4, 5}
    assert numbers(fds.load_partition(0, "test")) == {6}
    assert numbers(fds.load_partition(1, "train")) == {0, 1}
    with pytest.raises(DataError, match="armada data pull me/elsewhere"):
        fds.load_partition(2, "train")
    with pytest.raises(DataError, match=r"d=.*has 72 frames, the catalogue claims 71"):
        fds.load_partition(3, "train")
    with pytest.raises(ConfigError, match=r"split: is needed\. One of: train, test"):
        fds.load_partition(0)
    with pytest.raises(ConfigError, match="There are 0 to 4"):
        fds.load_partition(5, "train")


def test_a_split_of_a_catalogue_is_all_of_its_data_sets(seven: Path, small_dataset: Path) -> None:
    path = seven.parent / "two.yaml"
    clients = [{"dataset": "seven", "episodes": 7, "frames": 84}]
    evaluation = [{"dataset": str(small_dataset), "episodes": 3, "frames": 72}]
    path.write_text(yaml.safe_dump({"clients": clients, "evaluation": evaluation}))
    fds = FederatedLeRobotDataset.of_catalogue(path)

    whole = fds.load_split("evaluation")

    assert isinstance(whole, ConcatDataset)
    assert (len(whole), len(fds.load_split("train"))) == (72, 72)
    assert numbers(fds.load_partition(0, "evaluation")) == {0, 1, 2}


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda fds: fds.load_partition(0, "tests"),
            "tests: there is no such split. One of: train",
        ),
        (lambda fds: fds.load_split("eval"), "eval: there is no such split"),
        (lambda fds: fds.load_partition(0, "test"), "test: isn't divided. Give it a partitioner"),
        (lambda fds: fds.load_partition(9), "9: there is no such partition"),
    ],
)
def test_what_there_is_not_is_named(
    seven: Path, ask: Callable[[FederatedLeRobotDataset], object], said: str
) -> None:
    fds = FederatedLeRobotDataset(dataset=seven, partitioners={"train": 2})
    with pytest.raises(ArmadaError, match=said):
        ask(fds)


def test_partitioners_must_fit_the_splits(seven: Path) -> None:
    with pytest.raises(ConfigError, match="validation: there is no such split"):
        FederatedLeRobotDataset(dataset=seven, partitioners={"validation": 2})
    one = LeRobotDatasetPartitioner(1)
    with pytest.raises(ConfigError, match="can't divide two splits"):
        FederatedLeRobotDataset(dataset=seven, partitioners={"train": one, "test": one})
