"""Error feedback: what rounding took comes with the next update, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent.federation.payload.codec import delta, encode
from agent.federation.payload.feedback import Residual
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from robots.errors import ModelError

BASE = "sha256:base"
START = {"a": torch.zeros(30, 20), "b": torch.zeros(5)}


def learned(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: 1e-3 * torch.randn(t.shape, generator=generator) for n, t in START.items()}


def send(
    residual: Residual, job: str, seed: int, *, base: str = BASE, trains: TrainsConfig | None = None
) -> dict[str, Tensor]:
    kind = trains or TrainsConfig()
    with residual.feedback(job, START, base_digest=base, trains=kind) as feedback:
        return encode(learned(seed), START, "int8", feedback)


def changes(wire: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: delta(wire, name, START, "int8") for name in START}


@pytest.fixture
def residual(tmp_path: Path) -> Residual:
    return Residual(tmp_path / "residual")


def test_over_many_updates_nothing_is_lost(residual: Residual) -> None:
    sent = {name: torch.zeros_like(tensor) for name, tensor in START.items()}
    plain = {name: torch.zeros_like(tensor) for name, tensor in START.items()}
    meant = {name: torch.zeros_like(tensor) for name, tensor in START.items()}
    for number in range(40):
        # Always the same: rounding to nearest without feedback then errs the same way each time.
        wire = send(residual, f"job-{number}", seed=1)
        residual.received([f"job-{number}"])
        for name in START:
            sent[name] += changes(wire)[name]
            plain[name] += changes(encode(learned(1), START, "int8"))[name]
            meant[name] += learned(1)[name]

    one = float(learned(1)["a"].abs().max()) / 127
    assert float((sent["a"] - meant["a"]).abs().max()) <= one
    assert float((plain["a"] - meant["a"]).abs().max()) > 10 * one


def test_a_job_that_is_done_twice_counts_what_was_left_once(residual: Residual) -> None:
    send(residual, "one", 1)
    residual.received(["one"])

    first = send(residual, "two", 2)
    again = send(residual, "two", 2)
    residual.received(["two"])
    # The server says so in every order until the robot has forgotten the job.
    residual.received(["one", "two"])

    other = Residual(residual._folder.with_name("undisturbed"))
    send(other, "one", 1)
    other.received(["one"])
    assert weights.digest(first) == weights.digest(again) == weights.digest(send(other, "two", 2))
    other.received(["two"])
    assert weights.digest(send(residual, "three", 3)) == weights.digest(send(other, "three", 3))


def test_an_update_that_nobody_got_leaves_no_trace(residual: Residual, tmp_path: Path) -> None:
    other = Residual(tmp_path / "other")
    for each in (residual, other):
        send(each, "one", 1)
        each.received(["one"])

    send(residual, "lost", 2)
    after = send(residual, "three", 3)

    assert weights.digest(after) == weights.digest(send(other, "three", 3))
    # And if it turns up when it counts as lost, that is too late for what it left.
    residual.received(["lost"])
    assert weights.digest(send(residual, "three", 3)) == weights.digest(after)


def test_who_is_killed_while_writing_has_kept_nothing(residual: Residual, tmp_path: Path) -> None:
    send(residual, "one", 1)
    residual.received(["one"])
    before = {p.name: p.read_bytes() for p in (tmp_path / "residual").iterdir()}

    def killed() -> None:
        with residual.feedback("two", START, base_digest=BASE, trains=TrainsConfig()) as feedback:
            feedback.after("a", torch.ones(30, 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()

    residual.received(["two"])
    assert {p.name: p.read_bytes() for p in (tmp_path / "residual").iterdir()} == before


@pytest.mark.parametrize("what", ["base", "trains"])
def test_it_is_dropped_when_it_belongs_to_something_else(residual: Residual, what: str) -> None:
    send(residual, "one", 1)
    residual.received(["one"])

    if what == "base":
        wire = send(residual, "two", 2, base="sha256:other")
    else:
        wire = send(residual, "two", 2, trains=TrainsConfig(kind="lora"))

    assert weights.digest(wire) == weights.digest(encode(learned(2), START, "int8"))


def test_a_round_in_fp32_carries_what_earlier_ones_left(residual: Residual) -> None:
    wire = send(residual, "one", 1)
    residual.received(["one"])
    lost = learned(1)["a"] - changes(wire)["a"]

    with residual.feedback("two", START, base_digest=BASE, trains=TrainsConfig()) as feedback:
        exact = encode(learned(2), START, "fp32", feedback)
    residual.received(["two"])

    assert torch.allclose(exact["a"], learned(2)["a"] + lost, atol=1e-9)
    assert weights.digest(send(residual, "three", 3)) == weights.digest(
        encode(learned(3), START, "int8")
    )


def test_names_from_the_server_reach_no_other_file(residual: Residual, tmp_path: Path) -> None:
    send(residual, "one", 1)
    stranger = tmp_path / "after-stranger.safetensors"
    stranger.write_bytes(b"mine")

    residual.received(["../../after-stranger", "stranger", "*"])

    assert stranger.read_bytes() == b"mine"
    assert not (tmp_path / "residual" / "kept.safetensors").exists()


def test_a_damaged_one_says_what_to_do(residual: Residual, tmp_path: Path) -> None:
    send(residual, "one", 1)
    residual.received(["one"])
    (tmp_path / "residual" / "kept.safetensors").write_bytes(b"torn")

    with pytest.raises(ModelError, match="Delete it"):
        send(residual, "two", 2)
