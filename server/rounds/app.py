"""The ServerApp: one run of federated rounds, in a process that the SuperExec starts.

It reads what was asked for from the server's state and writes events and releases there. It talks
to the robots through Flower alone.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from flwr.app import ArrayRecord, Context, MessageType, MetricRecord
from flwr.serverapp import Grid, ServerApp

from agent.training.arrays import from_record, to_record
from robots.errors import ArmadaError, FederationError
from server.base import open_base
from server.events import EventFile
from server.paths import ServerState
from server.registry.releases import Releases
from server.rounds.grid import WatchedGrid
from server.rounds.spec import RoundSpec
from server.rounds.strategy import TrainablePartFedAvg

STATE_VARIABLE = "ARMADA_SERVER_STATE"
"""Environment variable with the state folder. It comes from the SuperExec, not with the run: who
starts a run can't choose where the server reads and writes."""

log = logging.getLogger(__name__)
app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]
def main(grid: Grid, context: Context) -> None:
    """Run the round that ``round-id`` names.

    Raises:
        ArmadaError: it failed; the reason is also its last event.
    """
    state = ServerState(Path(os.environ[STATE_VARIABLE]))
    round_id = int(context.run_config["round-id"])
    folder = state.rounds / f"{round_id:04d}"
    if not folder.is_dir():
        raise FederationError("there is no such round", field="round-id", value=round_id)
    events = EventFile(folder / "events.jsonl")
    try:
        made = run_rounds(grid, state, round_id, run=context.run_id, events=events)
    except ArmadaError as error:
        events.emit("failed", reason=str(error))
        raise
    events.emit("finished", releases=made)


def run_rounds(
    grid: Grid, state: ServerState, round_id: int, *, run: int, events: EventFile
) -> list[int]:
    """Do what the round's request asks; the versions of the releases that were made.

    Raises:
        ArmadaError: too few robots or good updates.
    """
    request = json.loads((state.rounds / f"{round_id:04d}" / "request.json").read_text())
    spec = RoundSpec.from_dict(request)
    base = open_base(state.base)
    releases = Releases(state.releases)
    reference = base.trainable()
    latest = releases.latest
    initial = reference if latest is None else releases.trainable(latest)
    made: list[int] = []
    strategy = TrainablePartFedAvg(
        spec=spec,
        reference=reference,
        base_digest=base.base_digest,
        round_id=round_id,
        emit=events.emit,
    )

    def release(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        """Flower's hook after each round; round 0 is the start, which is released already."""
        if server_round == 0:
            return None
        manifest = releases.add(
            from_record(arrays),
            base,
            run=run,
            round_id=round_id,
            server_round=server_round,
            participants=strategy.participants,
            metrics=strategy.metrics,
        )
        made.append(manifest["version"])
        events.emit(
            "released",
            version=manifest["version"],
            digest=manifest["digest"],
            trainable_digest=manifest["trainable_digest"],
            samples=manifest["samples"],
        )
        return None

    watched = WatchedGrid(
        grid,
        on_reply=lambda m: m.metadata.message_type == MessageType.TRAIN and strategy.look(m),
        on_missing=strategy.missing,
    )
    strategy.start(
        watched,
        to_record(initial),
        num_rounds=spec.rounds,
        timeout=spec.timeout_s,
        evaluate_fn=release,
    )
    return made
