"""A robot that speaks the protocol of rounds and trains nothing: a ClientApp for a real SuperNode.

What it does with an order stands in ``behaviour.json`` of its folder; what it was told, in
``heard.jsonl``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from agent.federation.wire import (
    ANSWER,
    ARRAYS,
    DECLINED,
    FINISHED,
    MEASURE,
    METRICS,
    ORDER,
    REPORT,
    RUNNING,
    Answer,
    Order,
)

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]
@app.evaluate()  # type: ignore[untyped-decorator]
def answer(message: Message, context: Context) -> Message:
    """Answer as the behaviour says."""
    home = Path(str(context.node_config["home"]))
    name = str(context.node_config["name"])
    order = Order.from_record(message.content[ORDER])
    behaviour = json.loads((home / "behaviour.json").read_text())
    with (home / "heard.jsonl").open("a") as file:
        heard = {"job": order.job, "work": order.work, "received": list(order.received)}
        file.write(json.dumps(heard | {"late_wanted": order.late_wanted}) + "\n")
    content = _answer(home, name, order, behaviour)
    return Message(content=content, reply_to=message)


def _answer(home: Path, name: str, order: Order, behaviour: dict[str, Any]) -> RecordDict:
    if order.work == MEASURE:
        return _measured(name, order, behaviour)
    kept = home / "job.json"
    job = json.loads(kept.read_text()) if kept.exists() else None
    if job and (job["job"] in order.received or not order.late_wanted):
        job = None
    if not job:
        if behaviour.get("decline"):
            said = Answer(
                job=order.job, robot=name, state=DECLINED, reason=str(behaviour["decline"])
            )
            return RecordDict({ANSWER: said.to_record()})
        job = {"job": order.job, "start": order.start_version, "digest": order.start_digest}
        kept.write_text(json.dumps(job))
        return _running(name, order, job)
    if behaviour.get("hold"):
        return _running(name, order, job)
    return _finished(name, job, behaviour)


def _running(name: str, order: Order, job: dict[str, Any]) -> RecordDict:
    said = Answer(
        job=job["job"],
        robot=name,
        state=RUNNING,
        step=1,
        steps=order.train.steps,
        start_digest=job["digest"],
    )
    return RecordDict({ANSWER: said.to_record()})


def _finished(name: str, job: dict[str, Any], behaviour: dict[str, Any]) -> RecordDict:
    from agent.policy import weights
    from agent.training.arrays import to_record

    start = weights.load(Path(behaviour["releases"]) / f"{job['start']:04d}/trainable.safetensors")
    update = {key: tensor + float(behaviour["step"]) for key, tensor in start.items()}
    said = Answer(
        job=job["job"],
        robot=name,
        state=FINISHED,
        start_digest=job["digest"],
        update_digest=weights.digest(update),
    )
    samples = int(behaviour["samples"])
    metrics = {"num-examples": samples, "loss-first": 2.0, "loss-last": 1.0}
    return RecordDict(
        {
            ANSWER: said.to_record(),
            ARRAYS: to_record(update),
            METRICS: MetricRecord(metrics),
            REPORT: ConfigRecord({"episodes": 3}),
        }
    )


def _measured(name: str, order: Order, behaviour: dict[str, Any]) -> RecordDict:
    said = Answer(job=order.job, robot=name, state=FINISHED, start_digest=order.start_digest)
    metrics = {"num-examples": 1, "held-out-error": float(behaviour["step"])}
    return RecordDict({ANSWER: said.to_record(), METRICS: MetricRecord(metrics)})
