"""How an update travels: *wire tensors*, a flat dictionary that a safetensors file can hold.

=========  ========================================  ==========================================
encoding   ``name``                                  what it stands for
=========  ========================================  ==========================================
``fp32``   the trained tensor, fp32                  itself, bit for bit
``bf16``   the change since the start, bf16          the change, to 8 bits of mantissa
``fp16``   the change since the start, fp16          the same to 11, between 6e-8 and 65504
``int8``   the change since the start, int8, and     blocks of ``BLOCK`` numbers in the order of
           ``name#scale``, fp32, one a block         memory, each ``int8 × scale``
=========  ========================================  ==========================================

The 8 bits are symmetric: a block's largest magnitude is 127 scales, 0 stays 0, −128 is never sent.
Blocks (Dettmers et al., arXiv:2110.02861) rather than output rows: they cost the same 1.6 % for
every shape, where a row of an adapter of rank 16 would cost 25 %; an outlier spoils 256 numbers.

Everything goes tensor by tensor, so that ``wire``, ``start`` and ``update`` may be files
(:mod:`agent.policy.tensor_file`) of which one tensor is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from agent.federation.payload.spec import ENCODINGS
from agent.policy import weights
from robots.errors import ConfigError, ModelError

BLOCK = 256
SCALE = "#scale"
"""Follows a tensor's name; no parameter's name holds it."""

_TYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
_TOP = 127


class Feedback(Protocol):
    """What earlier updates lost by rounding; see :mod:`agent.federation.payload.feedback`."""

    def before(self, name: str) -> Tensor | None:
        """What is to be added to the change of a tensor."""

    def after(self, name: str, residual: Tensor) -> None:
        """What this update leaves."""


def encode(
    update: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    encoding: str,
    feedback: Feedback | None = None,
) -> dict[str, Tensor]:
    """What a robot sends.

    Args:
        update: The trained tensors, fp32, on the CPU.
        start: Those that training started from, fp32.
        encoding: One of ``ENCODINGS``.
        feedback: Where what is lost by rounding comes from and goes to; None: it is lost.

    Raises:
        ModelError: the update isn't like the start, isn't finite, or is too large for the encoding.
    """
    _check_encoding(encoding)
    weights.check(update, start)
    wire: dict[str, Tensor] = {}
    for name in sorted(update):
        earlier = feedback.before(name) if feedback is not None else None
        if encoding == "fp32":
            wire[name] = update[name] if earlier is None else update[name] + earlier
            continue
        change = update[name] - start[name]
        if earlier is not None:
            change += earlier
        rounded = _round(name, change, encoding)
        for part, tensor in rounded.items():
            if not _finite(tensor):
                raise ModelError(
                    f"its change is too large for {encoding}", field="tensor", value=part
                )
        wire |= rounded
        if feedback is not None:
            feedback.after(name, change - _change(rounded, name, change.shape, encoding))
    return wire


def delta(
    wire: Mapping[str, Tensor],
    name: str,
    start: Mapping[str, Tensor],
    encoding: str,
    *,
    scale: float = 1.0,
) -> Tensor:
    """The change of one tensor, fp32; the caller may write into it.

    Args:
        wire: Wire tensors that :func:`check_wire` has passed.
        name: Of the tensor.
        start: What it started from, fp32.
        encoding: In which it travelled.
        scale: Its change is multiplied with this; below 1 it clips an update that is too long.
    """
    if encoding == "fp32":
        change = wire[name] - start[name]
    else:
        change = _change(wire, name, start[name].shape, encoding)
    return change if scale == 1.0 else change.mul_(scale)


def check_wire(wire: Mapping[str, Tensor], reference: Mapping[str, Tensor], encoding: str) -> float:
    """Refuse wire tensors that no robot of this fleet could have meant.

    Args:
        wire: What came.
        reference: What training started from, fp32.
        encoding: What was ordered.

    Returns:
        L2 norm of the whole change, in fp64. Divided by :func:`length` of ``reference`` it is
        relative to the weights that it changes.

    Raises:
        ModelError: a tensor is missing or unexpected, has another shape or type, or holds numbers
            or scales that stand for nothing finite; it names the first such tensor.
    """
    _check_encoding(encoding)
    weights.check(wire, _expected(reference, encoding))
    squares = 0.0
    for name in sorted(reference):
        if encoding == "int8":
            _check_int8(wire, name)
        norm = float(
            torch.linalg.vector_norm(delta(wire, name, reference, encoding), dtype=torch.float64)
        )
        if not math.isfinite(norm):
            raise ModelError("changes by numbers that are not finite", field="tensor", value=name)
        squares += norm**2
    return math.sqrt(squares)


def length(tensors: Mapping[str, Tensor]) -> float:
    """L2 norm of all tensors together, in fp64."""
    return math.sqrt(
        sum(
            float(torch.linalg.vector_norm(tensors[name], dtype=torch.float64)) ** 2
            for name in sorted(tensors)
        )
    )


def wire_bytes(wire: Mapping[str, Tensor]) -> int:
    """Bytes of the numbers, without the few that name them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in map(wire.__getitem__, wire))


def _expected(reference: Mapping[str, Tensor], encoding: str) -> dict[str, Tensor]:
    """Names, shapes and types of wire tensors, without numbers."""
    expected: dict[str, Tensor] = {}
    for name in reference:
        shape = reference[name].shape
        expected[name] = torch.empty(shape, dtype=_TYPES[encoding], device="meta")
        if encoding == "int8":
            blocks = -(-math.prod(shape) // BLOCK)
            expected[name + SCALE] = torch.empty(blocks, dtype=torch.float32, device="meta")
    return expected


def _check_int8(wire: Mapping[str, Tensor], name: str) -> None:
    if bool((wire[name] < -_TOP).any()):
        raise ModelError("holds -128, which is never sent", field="tensor", value=name)
    if bool((wire[name + SCALE] < 0).any()):
        raise ModelError("holds a negative scale", field="tensor", value=name + SCALE)


def _round(name: str, change: Tensor, encoding: str) -> dict[str, Tensor]:
    if encoding != "int8":
        return {name: change.to(_TYPES[encoding])}
    blocks = _blocks(change)
    scale = blocks.abs().amax(dim=1) / _TOP
    # A block of zeros has scale 0, and one of the smallest numbers that there are may get it.
    divisor = torch.where(scale > 0, scale, torch.ones_like(scale))
    whole = (blocks / divisor[:, None]).round_().clamp_(-_TOP, _TOP).to(torch.int8)
    return {name: whole.reshape(-1)[: change.numel()].reshape(change.shape), name + SCALE: scale}


def _change(wire: Mapping[str, Tensor], name: str, shape: torch.Size, encoding: str) -> Tensor:
    if encoding != "int8":
        return wire[name].to(torch.float32)
    blocks = _blocks(wire[name].to(torch.float32)) * wire[name + SCALE][:, None]
    return blocks.reshape(-1)[: math.prod(shape)].reshape(shape)


def _blocks(tensor: Tensor) -> Tensor:
    """(numbers,) to (blocks, BLOCK), the last one filled with zeros."""
    flat = tensor.reshape(-1)
    return torch.nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).reshape(-1, BLOCK)


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise ConfigError(
            "isn't known",
            field="encoding",
            value=encoding,
            remedy=f"One of: {', '.join(ENCODINGS)}",
        )
