"""The peer's ServerApp: Flower's FedAvg as it comes, one round over the robots' ClientApp."""

from __future__ import annotations

import os
from pathlib import Path

from flwr.app import ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from agent.training.arrays import to_record
from agent.training.config import TrainConfig
from server.base import open_base
from server.paths import ServerState
from server.rounds.app import STATE_VARIABLE

ROBOTS = 2
app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]
def main(grid: Grid, context: Context) -> None:
    """Send the weights to every robot, average what comes."""
    base = open_base(ServerState(Path(os.environ[STATE_VARIABLE])).base)
    train = TrainConfig(steps=1, batch_size=1)
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=ROBOTS, min_available_nodes=ROBOTS)
    result = strategy.start(
        grid,
        to_record(base.trainable()),
        num_rounds=1,
        train_config=ConfigRecord({**train.to_dict(), "base-digest": base.base_digest}),
    )
    if not result.train_metrics_clientapp:
        raise RuntimeError("no robot answered")
