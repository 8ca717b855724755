"""Flags of ``armada round``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import getpass
from dataclasses import dataclass, field, fields
from pathlib import Path

from agent.fleet import FleetClient
from agent.token import check_token, read_token
from agent.training.config import TrainConfig
from robots.errors import ConfigError
from server.aggregation.config import AggregateConfig
from server.rounds.spec import FOLD, LOCAL, RoundSpec

DEFAULT_SERVER = "127.0.0.1:29300"


@dataclass(kw_only=True)
class RoundListConfig:
    """Which server to ask."""

    # Rounds and releases of the fleet's server, host:port.
    server: str = DEFAULT_SERVER
    # CA of its certificate, a PEM file; empty: plaintext.
    root_certificates: str = ""
    # Name of the environment variable that holds an operator's token, for a server with TLS.
    token_env: str = ""
    # Or the file that holds it.
    token_file: str = ""
    # Print JSON lines instead of text.
    json: bool = False

    def __post_init__(self) -> None:
        host, _, port = self.server.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError("must be host:port", field="--server", value=self.server)
        if self.root_certificates and not Path(self.root_certificates).is_file():
            raise ConfigError(
                "isn't a file", field="--root_certificates", value=self.root_certificates
            )
        check_token(self.token_env, self.token_file, prefix="--")

    def client(self) -> FleetClient:
        """Raises: ConfigError for a token that can't be read."""
        token = read_token(self.token_env, self.token_file, prefix="--")
        return FleetClient(self.server, self.root_certificates, token=token)


@dataclass(kw_only=True)
class RoundShowConfig(RoundListConfig):
    """Which round to show."""

    # Its number, as `armada round list` tells it.
    number: int = 0


@dataclass(kw_only=True)
class RoundStartConfig(RoundListConfig):
    """What to ask the fleet for."""

    # Rounds one after the other; each makes a release.
    rounds: int = 1
    # Fewest robots that must be there, and fewest updates that are averaged.
    min_robots: int = 1
    # Longest wait for them to be there, in seconds.
    wait_s: float = 60.0
    # Longest wait for the updates of a round, in seconds.
    timeout_s: float = 3600.0
    # Let the robots measure each release on their held-out episodes.
    evaluate: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)
    # How updates travel: fp32, bf16, fp16 or int8.
    encoding: str = "fp32"
    # Share of the robots that are asked, drawn by seed.
    fraction: float = 1.0
    # Fewest episodes that a robot has not trained on before.
    min_new_episodes: int = 0
    # Updates that come after their round: fold (into a later one, by staleness) or drop.
    late: str = FOLD
    # Statistics of the robots' data: local, or pooled over all that take part.
    normaliser: str = LOCAL
    aggregation: AggregateConfig = field(default_factory=AggregateConfig)
    # Wait until the round that runs is over, instead of an error.
    queue: bool = False
    # Who asks; empty: the user's name.
    by: str = ""

    def spec(self) -> RoundSpec:
        """What is asked for.

        Raises:
            ConfigError: a value beyond its bounds.
        """
        values = {f.name: getattr(self, f.name) for f in fields(RoundSpec)}
        return RoundSpec(**values | {"by": self.by or getpass.getuser()})


@dataclass(kw_only=True)
class RoundCancelConfig(RoundShowConfig):
    """Which round to end."""

    # Who says so; empty: the user's name.
    by: str = ""
