"""A fleet of adapters: the same jobs, other tensors."""

from __future__ import annotations

from pathlib import Path

from agent.federation.payload import trained
from agent.federation.payload.codec import check_wire, wire_bytes
from agent.federation.payload.spec import TrainsConfig
from agent.federation.trainer.statuses import DONE
from agent.federation.trainer.work import run
from agent.policy import weights
from tests.agent.federation.conftest import Robot, result

TRAINS = TrainsConfig(kind="lora", rank=4)


def test_a_robot_trains_adapters_and_sends_nothing_else(robot: Robot, tiny_policy: Path) -> None:
    starts = trained.starts(tiny_policy, TRAINS)
    order = robot.order(
        steps=2,
        trains=TRAINS,
        encoding="int8",
        base_digest=trained.base_digest(tiny_policy, TRAINS),
        start_digest=weights.digest(starts),
    )
    job = robot.jobs.add(order)

    assert run(robot.home, job, checkpoint_s=30.0) == DONE

    wire = weights.load(job.update)
    assert weights.digest(wire) == result(job)["update-digest"]
    assert check_wire(wire, starts, "int8") > 0
    assert wire_bytes(wire) < 0.4 * (tiny_policy / "model.safetensors").stat().st_size
