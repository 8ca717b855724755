"""Flags of ``armada simulate``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from agent.federation.simulation.config import SimulationConfig
from robots.errors import ConfigError


@dataclass(kw_only=True)
class SimulateConfig(SimulationConfig):
    """Federated rounds among simulated clients, on Flower's simulation engine."""

    # How many clients; 0: all that the catalogue has.
    clients: int = 0
    # Processors of each; as many clients run at once as this host has processors for.
    cpus_per_client: int = 1
    # Share of a GPU of each; 0: none. Clients then train on it.
    gpus_per_client: float = 0.0
    # Print the report as JSON instead of bars and a table.
    json: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("clients", 0, 10_000),
            ("cpus_per_client", 1, 1024),
            ("gpus_per_client", 0.0, 64.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"must be from {low:g} to {high:g}", field=f"--{name}", value=value
                )
