"""What travels is what was meant, to the precision that the encoding promises, or it is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent.federation.payload.codec import (
    BLOCK,
    SCALE,
    check_wire,
    delta,
    encode,
    length,
    wire_bytes,
)
from agent.federation.payload.spec import ENCODINGS
from agent.policy import weights
from agent.training.arrays import from_record, take_from_record, to_record
from robots.errors import ConfigError, ModelError

SHAPES = {"expert.weight": (40, 33), "expert.bias": (7,), "gain": (), "none": (0, 4)}

RELATIVE = {"fp32": 1e-6, "bf16": 2**-8, "fp16": 2**-10, "int8": 1 / 127}
"""Largest error of a number, relative to the largest of its block."""


def draw(seed: int, reach: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: reach * torch.randn(s, generator=generator) for n, s in SHAPES.items()}


START = draw(0)


def moved(seed: int, reach: float = 1e-3) -> dict[str, Tensor]:
    return {name: START[name] + change for name, change in draw(seed, reach).items()}


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), reach=st.sampled_from([1e-6, 1e-4, 1e-2, 1.0, 100.0]))
def test_the_change_arrives_to_the_precision_of_its_encoding(
    encoding: str, seed: int, reach: float
) -> None:
    update = moved(seed, reach)
    meant = {name: update[name] - START[name] for name in update}

    wire = encode(update, START, encoding)
    came = {name: delta(wire, name, START, encoding) for name in START}

    for name in meant:
        top = float(meant[name].abs().amax()) if meant[name].numel() else 0.0
        # Below 6e-5 the 16 bits of IEEE have fewer left.
        floor = 6e-8 if encoding == "fp16" else 0.0
        assert torch.all((came[name] - meant[name]).abs() <= RELATIVE[encoding] * top + floor)
    assert check_wire(wire, START, encoding) == pytest.approx(length(came), rel=1e-6)


def test_fp32_is_the_tensors_themselves() -> None:
    update = moved(1)
    assert weights.digest(encode(update, START, "fp32")) == weights.digest(update)


@pytest.mark.parametrize(("encoding", "bytes_a_number"), [("fp32", 4), ("bf16", 2), ("fp16", 2)])
def test_what_it_costs(encoding: str, bytes_a_number: int) -> None:
    numbers = sum(math.prod(shape) for shape in SHAPES.values())
    assert wire_bytes(encode(moved(1), START, encoding)) == bytes_a_number * numbers


def test_8_bits_cost_a_byte_a_number_and_four_a_block() -> None:
    wire = encode(moved(1), START, "int8")

    assert wire["expert.weight"].dtype is torch.int8
    assert wire["expert.weight"].shape == (40, 33)
    assert wire["expert.weight" + SCALE].shape == (math.ceil(40 * 33 / BLOCK),)
    assert wire["none" + SCALE].shape == (0,)


def test_an_outlier_costs_its_own_block_alone() -> None:
    update = moved(1)
    update["expert.weight"][0, 0] += 1000
    wire = encode(update, START, "int8")

    change = update["expert.weight"] - START["expert.weight"]
    error = (delta(wire, "expert.weight", START, "int8") - change).abs().reshape(-1)
    assert float(error[BLOCK:].max()) < 1e-4


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nothing_learned_is_nothing_changed(encoding: str) -> None:
    wire = encode(START, START, encoding)

    assert check_wire(wire, START, encoding) == 0.0
    assert all(not delta(wire, name, START, encoding).any() for name in START)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_update_can_be_shortened(encoding: str) -> None:
    wire = encode(moved(1), START, encoding)

    short = delta(wire, "expert.weight", START, encoding, scale=0.25)

    assert torch.allclose(short, delta(wire, "expert.weight", START, encoding) / 4, rtol=1e-6)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_a_change_is_made_of_is_not_written_into(encoding: str) -> None:
    update = moved(1)
    wire = encode(update, START, encoding)
    before = weights.digest(wire), weights.digest(update), weights.digest(START)

    for name in START:
        delta(wire, name, START, encoding).add_(1)

    assert (weights.digest(wire), weights.digest(update), weights.digest(START)) == before


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_flower_and_the_disk_carry_it_bit_for_bit(encoding: str, tmp_path: Path) -> None:
    wire = encode(moved(1), START, encoding)
    record = to_record(wire)

    came = from_record(record)
    weights.save(tmp_path / "update.safetensors", came)

    assert weights.digest(came) == weights.digest(wire)
    assert weights.digest(weights.load(tmp_path / "update.safetensors")) == weights.digest(wire)
    assert weights.digest(take_from_record(record)) == weights.digest(wire)
    assert len(record) == 0


def broken(encoding: str, fault: str) -> dict[str, Tensor]:
    wire: dict[str, Any] = encode(moved(1), START, encoding)
    name = "expert.weight"
    match fault:
        case "is missing":
            del wire[name]
        case "is unexpected":
            wire["vision.weight"] = torch.zeros(2)
        case "has shape":
            wire[name] = wire[name].T.contiguous()
        case "has type":
            wire[name] = wire[name].to(torch.float64)
        case "not finite":
            wire[name if encoding != "int8" else name + SCALE].view(-1)[3] = float("nan")
    return wire


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "fault", ["is missing", "is unexpected", "has shape", "has type", "not finite"]
)
def test_what_no_robot_could_have_meant_is_refused(encoding: str, fault: str) -> None:
    with pytest.raises(ModelError, match=fault) as error:
        check_wire(broken(encoding, fault), START, encoding)
    assert str(error.value.value).removesuffix(SCALE) in ("expert.weight", "vision.weight")


@pytest.mark.parametrize("scale", [float("inf"), -1.0, 3e38])
def test_scales_that_stand_for_no_number_are_refused(scale: float) -> None:
    wire = encode(moved(1), START, "int8")
    wire["expert.bias" + SCALE][0] = scale
    with pytest.raises(ModelError, match=r"finite|negative"):
        check_wire(wire, START, "int8")


def test_the_eighth_bit_alone_is_refused() -> None:
    wire = encode(moved(1), START, "int8")
    wire["expert.bias"][0] = -128
    with pytest.raises(ModelError, match="-128"):
        check_wire(wire, START, "int8")


def test_numbers_whose_difference_is_none_are_refused() -> None:
    start = {"a": torch.full((3,), -3e38)}
    with pytest.raises(ModelError, match="not finite"):
        check_wire({"a": torch.full((3,), 3e38)}, start, "fp32")


@pytest.mark.parametrize("encoding", ["fp16", "int8"])
def test_a_robot_does_not_send_what_the_encoding_cannot_say(encoding: str) -> None:
    start = {"a": torch.full((3,), -3e38)}
    with pytest.raises(ModelError, match="too large"):
        encode({"a": torch.full((3,), 3e38)}, start, encoding)


def test_a_robot_does_not_send_what_is_not_finite() -> None:
    update = moved(1)
    update["expert.bias"][2] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        encode(update, START, "int8")


def test_an_encoding_that_nobody_knows() -> None:
    with pytest.raises(ConfigError, match="encoding=int4"):
        encode(START, START, "int4")
