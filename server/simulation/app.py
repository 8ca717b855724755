"""The ServerApp of simulations: who is there, how good the start is, rounds, and a policy folder.

It runs in Flower's simulation process, beside the clients' Ray actors.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp
from rich.console import Console
from torch import Tensor

from agent.federation.simulation.setting import Setting
from agent.policy import weights
from agent.policy.merge import merge
from agent.policy.parts import trainable_names
from agent.policy.store import WEIGHTS
from agent.training.arrays import from_record, to_record
from robots.errors import ConfigError, FederationError
from server.simulation.events import REPORT, Events
from server.simulation.grid import NamedGrid
from server.simulation.prepare import prepare
from server.simulation.record import Record
from server.simulation.strategies import build_strategy
from server.simulation.view import sentence, summary

POLICY = "policy"
"""Folder of what was learned."""

_ABOUT = f"{MessageType.QUERY}.about"
_TIMEOUT_S = 24 * 3600.0
_CONNECT_S = 120.0

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]
def main(grid: Grid, context: Context) -> None:
    """Run a simulation.

    Raises:
        ArmadaError: it failed; ``report.json`` says so too, if there is a place for it.
    """
    setting = Setting.of(context.run_config, context.run_id)
    output = setting.output
    if (output / REPORT).exists():
        raise ConfigError("holds another simulation", field="output", value=output)
    output.mkdir(parents=True, exist_ok=True)
    console = Console(width=100)
    events = Events(output)

    def emit(kind: str, **data: Any) -> None:
        events.emit(kind, **data)
        console.print(sentence(kind, data), markup=False, highlight=False, soft_wrap=True)

    record = Record(output, setting.config, emit)
    try:
        run(grid, setting, record)
    except Exception as error:
        # Whoever watches must learn of it, whatever it was; Flower ends the run as failed.
        record.close("failed", reason=" ".join(str(error).split()) or type(error).__name__)
        raise
    console.print(summary(record.data))
    console.print(f"{output}: {REPORT}, {POLICY}", soft_wrap=True, highlight=False)


def run(grid: Grid, setting: Setting, record: Record) -> None:
    """All of it.

    Raises:
        ArmadaError: a client's data or policy can't be used, nobody could train, or the weights
            didn't stay finite.
    """
    config = setting.config
    prepare(setting)
    base = setting.base
    names = _meet(grid, record)
    start, base_digest = _trainable(base)
    arrays = to_record(start)
    strategy = build_strategy(config, len(names))
    named = NamedGrid(grid, names, on_sent=record.sent, on_reply=record.reply)
    train = ConfigRecord({**config.train.to_dict(), "base-digest": base_digest})
    measure = ConfigRecord({"base-digest": base_digest})
    learned = start
    for generator in (random.seed, np.random.seed, torch.manual_seed):
        generator(config.seed)

    def after(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        """Flower's hook: before the first round, and after each."""
        nonlocal learned
        if server_round == 0:
            _measure_start(named, names, arrays, measure, record)
        learned = from_record(arrays)
        weights.check(learned, start)
        record.end()
        return None

    strategy.start(
        named,
        arrays,
        num_rounds=config.num_server_rounds,
        timeout=_TIMEOUT_S,
        train_config=train,
        evaluate_config=measure,
        evaluate_fn=after,
    )
    shutil.rmtree(setting.output / POLICY, ignore_errors=True)
    digest = merge(base, learned, setting.output / POLICY)
    record.close("finished", policy=POLICY, digest=digest)


def _trainable(base: Path) -> tuple[dict[str, Tensor], str]:
    """What is averaged, fp32, and the digest of the rest."""
    names = trainable_names(base)
    _, base_digest = weights.file_digest_parts(base / WEIGHTS, names)
    whole = weights.load(base / WEIGHTS)
    return {name: whole[name].float() for name in names}, base_digest


def _meet(grid: Grid, record: Record) -> dict[int, str]:
    """Ask all clients who they are; Flower tells how many there should be only to them.

    Raises:
        FederationError: they don't come up, or one of them can't take part.
    """
    clients: dict[int, dict[str, object]] = {}
    expected = 1
    deadline = time.monotonic() + _CONNECT_S
    while len(clients) < expected:
        new = [node for node in grid.get_node_ids() if node not in clients]
        if not new:
            if time.monotonic() > deadline:
                raise FederationError(f"{len(clients)} of {expected} clients came up")
            time.sleep(0.1)
            continue
        asked = [
            Message(content=RecordDict(), message_type=_ABOUT, dst_node_id=node) for node in new
        ]
        for reply in grid.send_and_receive(asked):
            if reply.has_error():
                raise FederationError(f"a client can't take part. {reply.error.reason.strip()}")
            said = dict(reply.content["report"])
            expected = int(said.pop("partitions"))
            clients[reply.metadata.src_node_id] = said
    names = {node: str(said.pop("robot")) for node, said in clients.items()}
    record.clients({names[node]: said for node, said in clients.items()})
    return names


def _measure_start(
    grid: NamedGrid,
    names: dict[int, str],
    arrays: ArrayRecord,
    config: ConfigRecord,
    record: Record,
) -> None:
    """The held-out error of what all start from: round 0 of the report."""
    record.begin(0)
    content = RecordDict({"arrays": arrays, "config": config})
    grid.send_and_receive(
        [
            Message(content=content, message_type=MessageType.EVALUATE, dst_node_id=node)
            for node in names
        ],
        timeout=_TIMEOUT_S,
    )
