"""``armada simulate``: federated rounds among simulated clients, with plain Flower strategies."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.base import Command

if TYPE_CHECKING:
    from agent.federation.simulation.config import SimulationConfig
    from server.commands.simulate_config import SimulateConfig

_FAILED = 1


def main(argv: list[str]) -> int:
    """Run it and print the table; 1 if it failed."""
    from rich.console import Console

    from agent.commands.parsing import parse
    from agent.federation.simulation.setting import Setting
    from robots.errors import ConfigError, FederationError
    from server.commands.simulate_config import SimulateConfig
    from server.simulation.events import REPORT
    from server.simulation.view import SimulationView, summary

    config = parse(SimulateConfig, argv, prog="armada simulate")
    asked = _resolved(config)
    output = Path(asked.output)
    if (output / REPORT).exists():
        raise ConfigError("holds another simulation", field="--output", value=output)
    known = len(Setting(asked, output).catalogue().clients)
    if config.clients > known:
        raise ConfigError(
            f"there are data for {known} clients", field="--clients", value=config.clients
        )
    # Imported here: Flower takes seconds, which a wrong flag need not cost.
    from server.simulation.run import Resources, simulate

    resources = Resources(
        clients=config.clients or known,
        cpus=config.cpus_per_client,
        gpus=config.gpus_per_client,
    )
    console = Console()
    try:
        if config.json:
            report = simulate(asked, resources)
        else:
            with SimulationView(console, config.num_server_rounds) as view:
                report = simulate(asked, resources, show=view.show)
    except FederationError as error:
        Console(stderr=True, soft_wrap=True).print(f"armada: {error}", style="red", markup=False)
        return _FAILED
    if config.json:
        console.print(json.dumps(report), markup=False, highlight=False, soft_wrap=True)
        return 0
    console.print(summary(report))
    console.print(
        f"Done in {report['seconds']:.0f} s. {output}: {REPORT}, {report['policy']}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _resolved(config: SimulateConfig) -> SimulationConfig:
    """What Flower's run configuration holds, with absolute paths."""
    from agent.federation.simulation.config import TINY, SimulationConfig

    names = [field.name for field in dataclasses.fields(SimulationConfig)]
    values = {name: getattr(config, name) for name in names}
    if config.data:
        values["data"] = str(Path(config.data).expanduser().resolve())
    if config.policy != TINY and Path(config.policy).expanduser().is_dir():
        values["policy"] = str(Path(config.policy).expanduser().resolve())
    folder = config.output or f"out/simulation-{time.strftime('%Y%m%d-%H%M%S')}"
    values["output"] = str(Path(folder).expanduser().resolve())
    if config.gpus_per_client and not config.device:
        values["device"] = "cuda"
    return SimulationConfig(**values)


COMMAND = Command("simulate", "federated rounds among simulated clients", main, 34)
