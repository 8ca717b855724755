"""Linear layers as nodes: in fp32, or with 8-bit weights and activations.

Layers that read the same numbers are one product here: what they read is packed, or rounded, once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from agent.policy.engines.onnx_graph import MICROSOFT, Graph

_LEVELS = 127
"""Largest number of a weight in 8 bits."""

_LEVELS_IN_PAIRS = 63
"""The same for the fast kernel, for signed weights, of x86 processors without VNNI: it adds
products of 8-bit numbers in pairs in 16 bits, which 2·255·127 overflows, silently; 2·255·63 fits.
The kernel for unsigned weights widens them first: all 8 bits count, and it takes a third longer."""

_ZERO = 128
"""What stands for 0 in unsigned weights."""


class Linear(Protocol):
    """A way to write a linear layer."""

    def __call__(self, graph: Graph, value: str, *layers: Any) -> str:
        """(…, K) → (…, N): the layers' outputs, one after the other."""


def exact(graph: Graph, value: str, *layers: Any) -> str:
    """In fp32."""
    weight, bias = stacked(layers)
    result = graph.node("MatMul", value, graph.constant(weight.T))
    return result if bias is None else graph.node("Add", result, graph.constant(bias))


def eight_bit(graph: Graph, value: str, *layers: Any) -> str:
    """Weights rounded, with a scale for each output; activations to 8 bits as they come.

    Layers that give no more numbers than they read take the fine kernel: those that write back to
    the residual stream, where what they get wrong stays. It is a third of the work.
    """
    weight, bias = stacked(layers)
    fine = weight.shape[1] >= weight.shape[0]
    levels = _LEVELS_IN_PAIRS if adds_in_pairs() and not fine else _LEVELS
    scale = weight.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / levels
    rounded = (weight / scale[:, None]).round()
    inputs = [value]
    if fine:
        zeros = torch.full((len(scale),), _ZERO, dtype=torch.uint8)
        inputs.append(graph.constant((rounded + _ZERO).to(torch.uint8).T))
        inputs += [graph.constant(scale), graph.constant(zeros)]
    else:
        inputs.append(graph.constant(rounded.to(torch.int8).T))
        inputs += [graph.constant(scale), ""]
    if bias is not None:
        inputs.append(graph.constant(bias))
    return graph.node("DynamicQuantizeMatMul", *inputs, domain=MICROSOFT)


@functools.cache
def adds_in_pairs() -> bool:
    """Whether this processor's fast kernel adds products in 16 bits."""
    can = torch.cpu.get_capabilities()
    return can["architecture"] == "x86_64" and not (can["avx512_vnni"] or can["avx_vnni"])


def stacked(layers: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """(N, K) weights and (N,) biases of several layers; ``None`` where none has one."""
    weights = [layer.weight.detach().float() for layer in layers]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    if all(layer.bias is None for layer in layers):
        return weight, None
    biases = [
        torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().float()
        for layer in layers
    ]
    return weight, torch.cat(biases)
