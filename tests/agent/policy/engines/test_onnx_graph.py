"""Graphs for ONNX Runtime."""

from __future__ import annotations

import pytest
import torch

from agent.policy.engines.onnx_graph import Graph, run
from robots.errors import ModelError


def test_what_the_runtime_can_not_compute_is_an_error_of_ours() -> None:
    """Its own have no root but ``Exception``: a server's only thread would end with them."""
    graph = Graph()
    product = graph.node("MatMul", graph.input("x", ["n", "k"]), graph.constant(torch.ones(3, 2)))
    graph.output(product, "y", 2)
    session = graph.compile(1)

    (y,) = run(session, {"x": torch.ones(4, 3)})
    assert torch.equal(y, torch.full((4, 2), 3.0))
    with pytest.raises(ModelError, match="ONNX Runtime fails"):
        run(session, {"x": torch.ones(4, 5)})
