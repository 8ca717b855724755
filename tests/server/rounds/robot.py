"""A robot that speaks the protocol of rounds and trains nothing: a ClientApp for a real SuperNode.

What it does with an order stands in ``behaviour.json`` of its folder; what it was told, in
``heard.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from safetensors.numpy import load_file

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
    home = Path(str(context.node_config["state-dir"]))
    name = str(context.node_config["name"])
    order = Order.from_record(message.content[ORDER])
    behaviour = json.loads((home / "behaviour.json").read_text())
    with (home / "heard.jsonl").open("a") as file:
        heard = {"job": order.job, "work": order.work, "received": list(order.received)}
        more = {"abandoned": list(order.abandoned), "late_wanted": order.late_wanted}
        file.write(json.dumps(heard | more) + "\n")
    content = _answer(home, name, order, behaviour)
    return Message(content=content, reply_to=message)


def _answer(home: Path, name: str, order: Order, behaviour: dict[str, Any]) -> RecordDict:
    if order.work == MEASURE:
        return _measured(name, order, behaviour)
    kept = home / "job.json"
    job = json.loads(kept.read_text()) if kept.exists() else None
    earlier = job and job["job"] != order.job
    over = order.received + order.abandoned
    if job and (job["job"] in over or (earlier and not order.late_wanted)):
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
    start = load_file(Path(behaviour["releases"]) / f"{job['start']:04d}/trainable.safetensors")
    update = {key: start[key] + np.float32(behaviour["step"]) for key in sorted(start)}
    # Two robots never find the same, and a server takes no update twice.
    own = np.frombuffer(hashlib.sha256(f"{name} {job['job']}".encode()).digest(), np.uint8)
    update[min(update)].flat[: len(own)] += np.float32(2e-6) * (own % 2)
    said = Answer(
        job=job["job"],
        robot=name,
        state=FINISHED,
        start_digest=job["digest"],
        update_digest=_digest(update),
    )
    samples = int(behaviour["samples"])
    metrics = {"num-examples": samples, "loss-first": 2.0, "loss-last": 1.0}
    return RecordDict(
        {
            ANSWER: said.to_record(),
            ARRAYS: ArrayRecord({key: Array(array) for key, array in update.items()}),
            METRICS: MetricRecord(metrics),
            REPORT: ConfigRecord({"episodes": 3}),
        }
    )


def _digest(arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    """As ``agent.policy.weights.digest``, without PyTorch: each message starts a process."""
    total = hashlib.sha256()
    for name, array in arrays.items():
        header = json.dumps([name, str(array.dtype), list(array.shape)]).encode()
        total.update(len(header).to_bytes(8, "little") + header + array.tobytes())
    return f"sha256:{total.hexdigest()}"


def _measured(name: str, order: Order, behaviour: dict[str, Any]) -> RecordDict:
    said = Answer(job=order.job, robot=name, state=FINISHED, start_digest=order.start_digest)
    metrics = {"num-examples": 1, "held-out-error": float(behaviour["step"])}
    return RecordDict({ANSWER: said.to_record(), METRICS: MetricRecord(metrics)})
