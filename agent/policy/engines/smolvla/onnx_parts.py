"""SmolVLA's parts by ONNX Runtime, on the CPU."""

from __future__ import annotations

import contextlib
import ctypes

import torch
from onnxruntime import InferenceSession
from torch import Tensor, nn

from agent.policy.engines.onnx_graph import Graph, run
from agent.policy.engines.smolvla.graphs import prefix_graph, step_graph, vision_graph
from agent.policy.engines.smolvla.linear import Linear
from agent.policy.engines.smolvla.model import SmolVLA
from agent.policy.engines.smolvla.parts import Context, Prefix, Step
from agent.policy.engines.smolvla.torch_parts import shared_bias, step_masks


class OnnxParts:
    """Vision, prefix and step as three sessions of the runtime.

    The runtime keeps its own copy of the weights, so torch's of the vision tower and the language
    model are dropped as soon as it has one: LeRobot's own forward pass is gone then. The expert's
    stay, for guidance that needs gradients.

    Args:
        model: The policy, on the CPU.
        write: How its linear layers are computed.
        threads: Of each session; 0: as many as there are cores.
    """

    def __init__(self, model: SmolVLA, write: Linear, *, threads: int) -> None:
        self._model = model
        self._places: dict[tuple[int, int], Tensor] = {}
        self._vision = _compile(vision_graph(model, write), model.vision.encoder, threads)
        _drop(model.backbone.vlm.lm_head)
        self._prefix = _compile(prefix_graph(model, write), model.text.layers, threads)
        self._step = step_graph(model, write).compile(threads)
        _give_back()

    def vision(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        if (height, width) not in self._places:
            self._places[height, width] = self._model.patch_positions(height, width)
        (patches,) = run(self._vision, {"pixels": pixels, "places": self._places[height, width]})
        embeddings: Tensor = self._model.connector(patches)
        return embeddings

    def prefix(self, prefix: Prefix) -> Context:
        cos, sin = self._model.rotation(prefix.positions)
        tensors = run(
            self._prefix,
            {
                "embeddings": prefix.embeddings,
                "cos": cos[:, None],
                "sin": sin[:, None],
                "bias": shared_bias(prefix.allowed, self._model),
            },
        )
        present = prefix.present
        return Context(tuple(tensors[::2]), tuple(tensors[1::2]), present, present.sum(dim=1))

    def step(self, context: Context) -> Step:
        model = self._model
        ticks = torch.arange(model.config.chunk_size)
        seen, causal = step_masks(context.present, model.config.chunk_size)
        inputs = {"bias": shared_bias(causal, model), "bias_cross": shared_bias(seen, model)}
        cos, sin = model.rotation(context.first[:, None] + ticks)
        inputs |= {"cos": cos[:, None], "sin": sin[:, None]}
        cos, sin = model.rotation(ticks[None])
        inputs |= {"cos_cross": cos[:, None], "sin_cross": sin[:, None]}
        for i, (key, value) in enumerate(zip(context.keys, context.values, strict=True)):
            inputs |= {f"key_{i}": key, f"value_{i}": value}
        known = {entry.name for entry in self._step.get_inputs()}
        fixed = {name: tensor for name, tensor in inputs.items() if name in known}
        times = model.times(model.config.num_steps)

        def step(x_t: Tensor, time: int) -> Tensor:
            (velocity,) = run(self._step, fixed | {"x": x_t, "time": times[time]})
            return velocity

        return step


def _compile(graph: Graph, module: nn.Module, threads: int) -> InferenceSession:
    # Large weights in a graph are copies, in the order and type that the runtime wants: torch's go
    # before the runtime packs its own, so that there are never three.
    _drop(module)
    return graph.compile(threads)


def _drop(module: nn.Module) -> None:
    """Free a module's weights, all but their shapes."""
    module.to("meta")


def _give_back() -> None:
    """Return what was freed to the system: a gigabyte of it lies in pieces that glibc keeps."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
