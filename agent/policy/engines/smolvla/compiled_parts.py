"""SmolVLA's parts by ``torch.compile``, with static shapes; on CUDA each is one CUDA graph.

A compiled part is for one robot, and for the pictures that it was compiled for: every other shape
would be compiled anew, tens of seconds each. So the task is padded to the length that the policy
allows, and passes of several robots are computed as ``torch_parts`` does.

What a CUDA graph returns is overwritten when it runs again: it is copied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agent.policy.engines.smolvla.model import SmolVLA
from agent.policy.engines.smolvla.parts import Context, Prefix, Step
from agent.policy.engines.smolvla.torch_parts import (
    TorchParts,
    TorchStep,
    read,
    shared_bias,
    velocity,
)


class CompiledParts:
    """Compiled at their first pass.

    Args:
        model: The policy.
    """

    def __init__(self, model: SmolVLA) -> None:
        self._model = model
        self._plain = TorchParts(model)
        self._places: dict[tuple[int, int], Tensor] = {}
        options: dict[str, Any] = {"fullgraph": True, "dynamic": False}
        if model.flow.action_in_proj.weight.is_cuda:
            options["mode"] = "reduce-overhead"
        self._look = torch.compile(_look, **options)
        self._read = torch.compile(_read, **options)
        self._velocity = torch.compile(_velocity, **options)

    def vision(self, pixels: Tensor) -> Tensor:
        if len(pixels) != 1:
            return self._plain.vision(pixels)
        height, width = pixels.shape[2:]
        if (height, width) not in self._places:
            self._places[height, width] = self._model.patch_positions(height, width)
        seen: Tensor = self._look(self._model, pixels, self._places[height, width])
        return seen.clone()

    def prefix(self, prefix: Prefix) -> Context:
        if len(prefix.embeddings) != 1:
            return self._plain.prefix(prefix)
        cos, sin = (t[:, None] for t in self._model.rotation(prefix.positions))
        bias = shared_bias(prefix.allowed, self._model)
        keys, values = self._read(self._model, prefix.embeddings, cos, sin, bias).clone()
        present = prefix.present
        return Context(tuple(keys), tuple(values), present, present.sum(dim=1))

    def step(self, context: Context) -> Step:
        if len(context.present) != 1:
            return self._plain.step(context)
        # Two tensors, not two for each layer: what a graph reads is copied to where it reads it.
        held = torch.stack([torch.stack(context.keys), torch.stack(context.values)])

        def compute(
            model: SmolVLA, x_t: Tensor, time: Tensor, _keys: Any, _values: Any, *seen: Any
        ) -> Tensor:
            found: Tensor = self._velocity(model, x_t, time, held, *seen)
            return found.clone()

        return TorchStep(self._model, context, compute, whole=True)


def _look(model: SmolVLA, pixels: Tensor, places: Tensor) -> Tensor:
    tower = model.vision
    patch = tower.embeddings.patch_embedding
    hidden = patch(pixels.to(patch.weight.dtype)).flatten(2).transpose(1, 2) + places
    for layer in tower.encoder.layers:
        hidden = layer(hidden, None)
    embeddings: Tensor = model.connector(tower.post_layernorm(hidden))
    return embeddings


def _read(model: SmolVLA, embeddings: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
    keys, values = read(model, embeddings, cos, sin, bias)
    return torch.stack([torch.stack(keys), torch.stack(values)])


def _velocity(
    model: SmolVLA,
    x_t: Tensor,
    time: Tensor,
    held: Tensor,
    both: tuple[Tensor, Tensor, Tensor],
    across: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    keys, values = held
    return velocity(model, x_t, time, tuple(keys), tuple(values), both, across)
