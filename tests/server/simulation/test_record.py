"""The report: what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from agent.federation.simulation.config import SimulationConfig
from server.simulation.events import REPORT, Events
from server.simulation.record import Record

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


def answer(kind: str, content: RecordDict | Error) -> Message:
    asked = Message(content=RecordDict(), message_type=kind, dst_node_id=1)
    asked.metadata.__dict__["_message_id"] = "asked"
    return Message(content, reply_to=asked)


def trained(samples: int, loss: float) -> Message:
    metrics = MetricRecord({"num-examples": samples, "loss-first": 2 * loss, "loss-last": loss})
    report = ConfigRecord({"robot": "x", "seconds": 1.5})
    return answer("train", RecordDict({"metrics": metrics, "report": report}))


def measured(episodes: int, error: float) -> Message:
    metrics = MetricRecord({"num-examples": episodes, "held-out-error": error})
    return answer("evaluate", RecordDict({"metrics": metrics}))


def declined(kind: str, reason: str) -> Message:
    return answer(kind, Error(code=1, reason=reason))


def run(output: Path) -> dict[str, Any]:
    record = Record(output, SimulationConfig(), Events(output).emit)
    record.clients({"b": {"episodes": 2}, "a": {"episodes": 1}})
    record.begin(0)
    record.sent("evaluate", 2)
    record.reply("a", measured(1, 0.5))
    record.reply("b", measured(3, 0.9))
    record.end()
    record.sent("train", 2)
    record.reply("a", trained(10, 1.0))
    record.reply("b", declined("train", "b: too few"))
    record.sent("evaluate", 2)
    record.reply("a", declined("evaluate", "a: none"))
    record.reply("b", declined("evaluate", "b: none"))
    record.end()
    record.close("finished", policy="policy")
    return dict(json.loads((output / REPORT).read_text(encoding="utf-8")))


def test_means_are_weighted_as_flowers(tmp_path: Path) -> None:
    start, first = run(tmp_path)["rounds"]
    assert start["held_out_error"] == pytest.approx(0.8)
    assert first["loss_last"] == 1.0
    assert first["clients"]["a"] == {
        "loss_first": 2.0,
        "loss_last": 1.0,
        "samples": 10,
        "seconds": 1.5,
    }


def test_what_was_not_measured_is_not_there(tmp_path: Path) -> None:
    report = run(tmp_path)
    first = report["rounds"][1]
    assert "held_out_error" not in first
    assert first["declined"] == {
        "a": {"evaluate": "a: none"},
        "b": {"train": "b: too few", "evaluate": "b: none"},
    }
    assert report["status"] == "finished"


def test_each_event_is_read_once(tmp_path: Path) -> None:
    run(tmp_path)
    events = Events(tmp_path)
    kinds = [event["kind"] for event in events.new()]
    assert kinds[:4] == ["sent", "reply", "reply", "round"]
    assert kinds[-1] == "finished"
    assert events.new() == []
