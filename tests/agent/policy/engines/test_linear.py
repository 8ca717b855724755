"""Linear layers in 8 bits: no more of a weight than the processor's kernel can add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from agent.policy.engines.onnx_graph import Graph, run
from agent.policy.engines.smolvla import linear


@pytest.mark.parametrize(("in_pairs", "levels"), [(True, 63), (False, 127)])
def test_a_layer_that_widens_keeps_what_its_kernel_holds(
    monkeypatch: pytest.MonkeyPatch, in_pairs: bool, levels: int
) -> None:
    monkeypatch.setattr(linear, "adds_in_pairs", lambda: in_pairs)
    graph = Graph()

    linear.eight_bit(graph, "x", nn.Linear(32, 64))

    (weights,) = (w for w in graph._weights.values() if w.dtype == np.int8)
    assert np.abs(weights.astype(int)).max() == levels


def test_on_this_processor_the_largest_weights_and_inputs_overflow_nothing() -> None:
    layer = nn.Linear(64, 128, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    graph = Graph()
    graph.input("x", ["rows", 64])
    graph.output(linear.eight_bit(graph, "x", layer), "y", 2)

    (result,) = run(graph.compile(1), {"x": torch.full((1, 64), 3.0)})

    torch.testing.assert_close(result, torch.full((1, 128), 192.0), rtol=0.01, atol=0)
