"""The graphs of SmolVLA's three parts: the same mathematics as ``torch_parts``, node by node."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from agent.policy.engines.onnx_graph import MICROSOFT, Graph
from agent.policy.engines.smolvla import linear
from agent.policy.engines.smolvla.linear import Linear
from agent.policy.engines.smolvla.model import SmolVLA


def vision_graph(model: SmolVLA, write: Linear) -> Graph:
    """``pixels`` (B, 3, height, width) and ``places`` (T, E) → ``patches`` (B, T, E)."""
    tower, graph = model.vision, Graph()
    graph.input("pixels", ["batch", 3, "height", "width"])
    graph.input("places", ["patches", tower.config.hidden_size])
    patch = tower.embeddings.patch_embedding
    hidden = graph.node(
        "Conv",
        "pixels",
        graph.constant(patch.weight.float()),
        graph.constant(patch.bias.float()),
        strides=list(patch.stride),
    )
    hidden = graph.transpose(graph.reshape(hidden, 0, 0, -1), 0, 2, 1)
    hidden = graph.node("Add", hidden, "places")
    for layer in tower.encoder.layers:
        attention = layer.self_attn
        normed = _layer_norm(graph, hidden, layer.layer_norm1)
        heads = graph.nodes(
            "Split",
            write(graph, normed, attention.q_proj, attention.k_proj, attention.v_proj),
            outputs=3,
            axis=-1,
            num_outputs=3,
        )
        mixed = graph.node(
            "MultiHeadAttention",
            *heads,
            domain=MICROSOFT,
            num_heads=attention.num_heads,
            scale=attention.scale,
        )
        hidden = graph.node("Add", hidden, write(graph, mixed, attention.out_proj))
        normed = _layer_norm(graph, hidden, layer.layer_norm2)
        inner = graph.node("FastGelu", write(graph, normed, layer.mlp.fc1), domain=MICROSOFT)
        hidden = graph.node("Add", hidden, write(graph, inner, layer.mlp.fc2))
    graph.output(_layer_norm(graph, hidden, tower.post_layernorm), "patches", 3)
    return graph


def prefix_graph(model: SmolVLA, write: Linear) -> Graph:
    """``embeddings`` (B, L, D), ``cos`` and ``sin`` (B, 1, L, H/2), ``bias`` (B, 1, R·L, L) →
    ``key_i`` and ``value_i`` of each layer, (B, G, L, H)."""
    graph = Graph()
    graph.input("embeddings", ["batch", "tokens", model.width])
    half = model.head_size // 2
    for name in ("cos", "sin"):
        graph.input(name, ["batch", 1, "tokens", half])
    graph.input("bias", ["batch", 1, "queries", "tokens"])
    hidden = "embeddings"
    last = len(model.text.layers) - 1
    for i, (layer, expert, cross) in enumerate(model.layers()):
        attention = layer.self_attn
        normed = _rms_norm(graph, hidden, layer.input_layernorm)
        if i < last:
            query, key, value = _heads(graph, model, write, normed, attention, "cos", "sin")
            mixed = _attend(graph, model, query, key, value, "bias")
            hidden = _after(graph, write, layer, hidden, mixed)
        else:
            key, value = (
                _split(graph, model, write(graph, normed, projection))
                for projection in (attention.k_proj, attention.v_proj)
            )
            key = _rotate(graph, key, "cos", "sin", half)
        if cross:
            # Small, read by every step, and what errors would act on longest: always in fp32.
            key, value = (
                _split(graph, model, linear.exact(graph, _join(graph, tensor), projection))
                for tensor, projection in (
                    (key, expert.self_attn.k_proj),
                    (value, expert.self_attn.v_proj),
                )
            )
        graph.output(key, f"key_{i}", 4)
        graph.output(value, f"value_{i}", 4)
    return graph


def step_graph(model: SmolVLA, write: Linear) -> Graph:
    """``x`` (B, N, A), ``time`` (2·E), ``key_i`` and ``value_i``, rotations ``cos``, ``sin`` and
    ``bias`` of layers that look at prefix and actions, ``cos_cross``, ``sin_cross`` and
    ``bias_cross`` of those that look at the prefix only → ``velocity`` (B, N, A)."""
    graph, flow, config = Graph(), model.flow, model.config
    half, size = model.head_size // 2, model.backbone.expert_hidden_size
    graph.input("x", ["batch", config.chunk_size, config.max_action_dim])
    graph.input("time", [flow.action_time_mlp_in.out_features])
    for suffix in ("", "_cross"):
        rows = "batch" if not suffix else 1
        for name in ("cos", "sin"):
            graph.input(name + suffix, [rows, 1, config.chunk_size, half])
        graph.input("bias" + suffix, ["batch", 1, "queries", "seen" + suffix])
    hidden = linear.exact(graph, "x", flow.action_in_proj)
    inner: Tensor = flow.action_time_mlp_in.weight[:, :size]
    hidden = graph.node("MatMul", hidden, graph.constant(inner.float().T))
    hidden = graph.node("Add", hidden, "time")
    hidden = linear.exact(graph, _silu(graph, hidden), flow.action_time_mlp_out)
    for i, (_, layer, cross) in enumerate(model.layers()):
        key, value = (
            graph.input(f"{name}_{i}", ["batch", model.groups, "tokens", model.head_size])
            for name in ("key", "value")
        )
        attention = layer.self_attn
        normed = _rms_norm(graph, hidden, layer.input_layernorm)
        if cross:
            query = _split(graph, model, write(graph, normed, attention.q_proj))
            query = _rotate(graph, query, "cos_cross", "sin_cross", half)
            mixed = _attend(graph, model, query, key, value, "bias_cross")
        else:
            query, own_key, own_value = _heads(graph, model, write, normed, attention, "cos", "sin")
            key = graph.node("Concat", key, own_key, axis=2)
            value = graph.node("Concat", value, own_value, axis=2)
            mixed = _attend(graph, model, query, key, value, "bias")
        hidden = _after(graph, write, layer, hidden, mixed)
    hidden = _rms_norm(graph, hidden, model.expert.norm)
    graph.output(linear.exact(graph, hidden, flow.action_out_proj), "velocity", 3)
    return graph


def _heads(
    graph: Graph, model: SmolVLA, write: Linear, normed: str, attention: Any, cos: str, sin: str
) -> tuple[str, str, str]:
    """Query, key and value, the first two rotated."""
    joined = write(graph, normed, attention.q_proj, attention.k_proj, attention.v_proj)
    both = (model.heads + model.groups) * model.head_size
    turned, value = graph.nodes(
        "Split", joined, graph.integers(both, model.groups * model.head_size), outputs=2, axis=-1
    )
    turned = _rotate(graph, _split(graph, model, turned), cos, sin, model.head_size // 2)
    query, key = graph.nodes(
        "Split", turned, graph.integers(model.heads, model.groups), outputs=2, axis=1
    )
    return query, key, _split(graph, model, value)


def _attend(graph: Graph, model: SmolVLA, query: str, key: str, value: str, bias: str) -> str:
    """Queries that share a key-value head stand one below the other; see ``shared_bias``."""
    shared = model.heads // model.groups
    query = graph.reshape(query, 0, model.groups, -1, model.head_size)
    query = graph.node("Mul", query, graph.number(model.head_size**-0.5))
    scores = graph.node("MatMul", query, graph.transpose(key, 0, 1, 3, 2))
    weights = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
    mixed = graph.node("MatMul", weights, value)
    mixed = graph.reshape(mixed, 0, model.groups * shared, -1, model.head_size)
    return _join(graph, mixed)


def _rotate(graph: Graph, value: str, cos: str, sin: str, half: int) -> str:
    first, second = graph.nodes("Split", value, graph.integers(half, half), outputs=2, axis=-1)
    return graph.node(
        "Concat",
        graph.node("Sub", graph.node("Mul", first, cos), graph.node("Mul", second, sin)),
        graph.node("Add", graph.node("Mul", second, cos), graph.node("Mul", first, sin)),
        axis=-1,
    )


def _split(graph: Graph, model: SmolVLA, value: str) -> str:
    """(B, S, n·H) → (B, n, S, H)."""
    return graph.transpose(graph.reshape(value, 0, 0, -1, model.head_size), 0, 2, 1, 3)


def _join(graph: Graph, value: str) -> str:
    """(B, n, S, H) → (B, S, n·H)."""
    return graph.reshape(graph.transpose(value, 0, 2, 1, 3), 0, 0, -1)


def _after(graph: Graph, write: Linear, layer: Any, hidden: str, mixed: str) -> str:
    """The rest of a layer once its attention is done."""
    hidden = graph.node("Add", hidden, write(graph, mixed, layer.self_attn.o_proj))
    normed = _rms_norm(graph, hidden, layer.post_attention_layernorm)
    both = write(graph, normed, layer.mlp.gate_proj, layer.mlp.up_proj)
    gate, up = graph.nodes("Split", both, outputs=2, axis=-1, num_outputs=2)
    inner = graph.node("Mul", _silu(graph, gate), up)
    return graph.node("Add", hidden, write(graph, inner, layer.mlp.down_proj))


def _silu(graph: Graph, value: str) -> str:
    return graph.node("QuickGelu", value, domain=MICROSOFT, alpha=1.0)


def _layer_norm(graph: Graph, value: str, layer: Any) -> str:
    return graph.node(
        "LayerNormalization",
        value,
        graph.constant(layer.weight.float()),
        graph.constant(layer.bias.float()),
        axis=-1,
        epsilon=layer.eps,
    )


def _rms_norm(graph: Graph, value: str, layer: Any) -> str:
    # The runtime knows it under this name as an operator of ONNX's own domain.
    return graph.node(
        "SimplifiedLayerNormalization",
        value,
        graph.constant(layer.weight.float()),
        axis=-1,
        epsilon=layer.variance_epsilon,
    )
