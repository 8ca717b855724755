"""Where a simulation happens: the same folders for the ServerApp and for each client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from agent.data.federated.catalogue import Catalogue
from agent.data.federated.catalogue_file import read_catalogue
from agent.federation.simulation import PARTITION, PARTITIONS
from agent.federation.simulation.config import TINY, SimulationConfig
from agent.federation.simulation.demo_data import demo_data
from agent.paths import StateDir
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.federation.simulation.home import SimulatedHome

# LeRobot is imported where it is needed: whoever only starts a simulation needs none of it.


@dataclass(frozen=True)
class Setting:
    """A simulation's folders.

    Args:
        config: What was asked for.
        output: Where everything goes.
    """

    config: SimulationConfig
    output: Path

    @classmethod
    def of(cls, run_config: Mapping[str, Any], run_id: int) -> Setting:
        """From what Flower tells ServerApp and clients alike.

        Raises:
            ConfigError: a key or a value is wrong.
        """
        config = SimulationConfig.from_run_config(run_config)
        if config.output:
            output = _absolute("output", config.output)
        else:
            home = Path(platformdirs.user_state_dir("armada"))
            output = home / "simulations" / str(run_id)
        return cls(config, output)

    @property
    def base(self) -> Path:
        """Folder of the policy that all start from.

        Raises:
            ModelError: there is none.
        """
        if self.config.policy == TINY:
            return self.output / "base"
        from agent.policy.hub import policy_folder

        return policy_folder(str(Path(self.config.policy).expanduser()))

    def catalogue(self) -> Catalogue:
        """Who learns from what; the embedded data are made when they are asked for first.

        Raises:
            ConfigError: the file is wrong.
        """
        if self.config.data:
            return read_catalogue(_absolute("data", self.config.data))
        return read_catalogue(demo_data())

    def home(self, node_config: Mapping[str, Any]) -> SimulatedHome:
        """A client's share.

        Raises:
            ConfigError: there are more clients than the catalogue has.
            DataError: its data set isn't here, can't be used, or isn't what the catalogue claims.
            ModelError: the policy isn't here.
        """
        from agent.data.open import open_info
        from agent.federation.simulation.home import SimulatedHome
        from agent.training.episodes import Episodes

        catalogue = self.catalogue()
        number, clients = int(node_config[PARTITION]), len(catalogue.clients)
        if number >= clients:
            raise ConfigError(
                f"there are data for {clients} clients",
                field="num-supernodes",
                value=node_config[PARTITIONS],
                remedy=f"Ask for {clients} at most, or name a datasets.yaml with more",
            )
        entry = catalogue.clients[number]
        info = open_info(catalogue.where(entry))
        entry.check_size(len(info.episodes), info.frames, str(info.root))
        return SimulatedHome(
            name=entry.name,
            state=StateDir(self.output / "clients" / entry.name),
            dataset_root=info.root,
            # Ray sets them by what a client may use.
            threads=0,
            device=self.config.device or None,
            share=Episodes.of(info, entry.usable("train"), entry.usable("evaluation")),
            base=self.base,
        )


def _absolute(key: str, value: str) -> Path:
    """Relative to what? Flower's SuperLink, which runs this, may have been started anywhere."""
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ConfigError(
            "must be an absolute path",
            field=f"run-config {key}",
            value=value,
            remedy="`armada simulate` also takes relative ones",
        )
    return path
