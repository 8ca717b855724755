"""What this machine can at most: the rate of a large product in each runtime and type.

A contender's own rate says how much of the time is anything but such products, or products that
are too small for it. The rate of another runtime or type says nothing of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import nn

from agent.policy.engines.onnx_graph import Graph, run
from agent.policy.engines.smolvla import linear

TORCH_FP32, TORCH_BF16 = "torch fp32", "torch bf16"
ONNX_FP32, ONNX_8BIT = "ONNX Runtime fp32", "ONNX Runtime 8 bits"

_ROWS = _INPUTS = 2048
_OUTPUTS = 4096
"""More than inputs: in 8 bits the fast kernel (agent/policy/engines/smolvla/linear.py)."""

_TIMES = 8


def measure(kinds: Iterable[str], threads: int, *, rows: int = _ROWS) -> dict[str, float]:
    """GFLOP/s by kind, the best of several.

    Args:
        kinds: Which.
        threads: Of the runtime.
        rows: Of the left matrix.
    """
    torch.set_num_threads(threads)
    return {kind: _rate(_product(kind, threads, rows), rows) for kind in dict.fromkeys(kinds)}


def _product(kind: str, threads: int, rows: int) -> Callable[[], object]:
    values = torch.randn(rows, _INPUTS)
    layer = nn.Linear(_INPUTS, _OUTPUTS, bias=False).requires_grad_(False)
    if kind in (TORCH_FP32, TORCH_BF16):
        # The contenders' models were made so, and LeRobot's as published is in bf16 as a whole.
        kind_of = torch.float32 if kind == TORCH_FP32 else torch.bfloat16
        values, layer = values.to(kind_of), layer.to(kind_of)
        return lambda: layer(values)
    write = linear.exact if kind == ONNX_FP32 else linear.eight_bit
    graph = Graph()
    graph.output(write(graph, graph.input("values", (rows, _INPUTS)), layer), "product", 2)
    session = graph.compile(threads)
    return lambda: run(session, {"values": values})


def _rate(product: Callable[[], object], rows: int) -> float:
    best = float("inf")
    for _ in range(_TIMES):
        began = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - began)
    return 2 * rows * _INPUTS * _OUTPUTS / best / 1e9
