"""Which share a simulated client finds, and the embedded data."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.data.federated.catalogue import Catalogue, DataEntry
from agent.data.federated.catalogue_file import write_catalogue
from agent.federation.simulation.config import SimulationConfig
from agent.federation.simulation.demo_data import CLIENTS, demo_data
from agent.federation.simulation.setting import Setting
from robots.errors import ConfigError, DataError


@pytest.fixture
def catalogue(small_dataset: Path, tmp_path: Path) -> Path:
    """Two clients that share one data set."""

    def entry(name: str, train: tuple[int, ...], held: tuple[int, ...], frames: int) -> DataEntry:
        return DataEntry(
            name=name,
            dataset=str(small_dataset),
            episodes=3,
            frames=frames,
            train=train,
            evaluation=held,
        )

    path = tmp_path / "datasets.yaml"
    clients = (entry("left", (0,), (2,), 72), entry("right", (1,), (), 71))
    write_catalogue(Catalogue(clients=clients), path)
    return path


def setting(catalogue: Path, policy: Path, output: Path) -> Setting:
    config = SimulationConfig(data=str(catalogue), policy=str(policy), output=str(output))
    return Setting.of(config.to_run_config(), run_id=1)


def node(number: int, of: int = 2) -> dict[str, int]:
    return {"partition-id": number, "num-partitions": of}


def test_a_client_has_its_episodes_and_no_others(
    catalogue: Path, tiny_policy: Path, tmp_path: Path
) -> None:
    home = setting(catalogue, tiny_policy, tmp_path / "out").home(node(0))

    assert home.name == "left"
    assert home.share is not None
    assert list(home.share.training) == [0]
    assert list(home.share.heldout) == [2]
    assert home.policy_folder("any") == tiny_policy
    assert tmp_path / "out" in home.state.root.parents


def test_a_data_set_of_another_size_is_refused(
    catalogue: Path, tiny_policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has 72 frames, the catalogue claims 71"):
        setting(catalogue, tiny_policy, tmp_path).home(node(1))


def test_more_clients_than_data_are_refused(
    catalogue: Path, tiny_policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="there are data for 2 clients"):
        setting(catalogue, tiny_policy, tmp_path).home(node(2, of=3))


def test_paths_are_absolute() -> None:
    with pytest.raises(ConfigError, match="output=here: must be an absolute path"):
        Setting.of({"output": "here"}, run_id=1)
    setting = Setting.of({"data": "datasets.yaml"}, run_id=1)
    with pytest.raises(ConfigError, match="must be an absolute path"):
        setting.catalogue()


def test_the_embedded_data_are_ten_clients_that_share_no_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    made = Setting(SimulationConfig(), tmp_path / "out").catalogue()

    numbers = [n for client in made.clients for n in (*client.train, *client.evaluation)]
    assert len(made.clients) == CLIENTS == 10
    assert sorted(numbers) == list(range(40))
    before = demo_data().stat().st_mtime_ns
    assert demo_data().stat().st_mtime_ns == before
