"""SmolVLA's parts in torch, without what LeRobot's loop repeats.

LeRobot's step projects the keys and values of the prefix anew in every step, repeats them for the
heads that share them, and makes masks, positions, rotations and the embedding of the time. Here
all that is made once for a chunk, or once. Everything is differentiable.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.policy.engines.smolvla.model import SmolVLA
from agent.policy.engines.smolvla.parts import Context, Prefix, Step


class TorchParts:
    """Where LeRobot's modules are, in their type.

    Args:
        model: The policy.
    """

    def __init__(self, model: SmolVLA) -> None:
        self._model = model

    def vision(self, pixels: Tensor) -> Tensor:
        """LeRobot's own."""
        embeddings: Tensor = self._model.backbone.embed_image(pixels)
        return embeddings

    def prefix(self, prefix: Prefix) -> Context:
        """Of the last layer, keys and values are all that is read."""
        model = self._model
        cos, sin = (t[:, None] for t in model.rotation(prefix.positions))
        bias = shared_bias(prefix.allowed, model)
        keys, values = [], []
        hidden = prefix.embeddings.to(model.text.layers[0].self_attn.q_proj.weight.dtype)
        last = len(model.text.layers) - 1
        for i, (layer, expert, cross) in enumerate(model.layers()):
            normed = layer.input_layernorm(hidden)
            attention = layer.self_attn
            key = rotate(_split(attention.k_proj(normed), model), cos, sin)
            value = _split(attention.v_proj(normed), model)
            if i < last:
                query = rotate(_split(attention.q_proj(normed), model), cos, sin)
                hidden = _after(layer, hidden, attend(query, key, value, bias))
            if cross:
                key, value = (
                    _split(project(_join(t).to(project.weight.dtype)), model)
                    for project, t in (
                        (expert.self_attn.k_proj, key),
                        (expert.self_attn.v_proj, value),
                    )
                )
            keys.append(key)
            values.append(value)
        return Context(tuple(keys), tuple(values), prefix.present, prefix.present.sum(dim=1))

    def step(self, context: Context) -> Step:
        return TorchStep(self._model, context)


class TorchStep:
    """One denoising step in torch.

    Args:
        model: The policy.
        context: Of the chunk, from whatever computed it.
    """

    def __init__(self, model: SmolVLA, context: Context) -> None:
        self._model = model
        self._context = context
        size = model.config.chunk_size
        device = context.first.device
        ticks = torch.arange(size, device=device)
        # Where it looks at the prefix only, the expert counts its own positions from 0.
        self._turn_cross = tuple(t[None, None] for t in model.rotation(ticks))
        self._turn = tuple(t[:, None] for t in model.rotation(context.first[:, None] + ticks))
        seen, causal = step_masks(context.present, size)
        self._bias_cross = None if bool(seen.all()) else shared_bias(seen, model)
        self._bias = shared_bias(causal, model)

    def __call__(self, x_t: Tensor, time: int) -> Tensor:
        flow, model = self._model.flow, self._model
        size = model.backbone.expert_hidden_size
        inner = flow.action_time_mlp_in.weight[:, :size]
        hidden = flow.action_in_proj(x_t) @ inner.T + model.times(model.config.num_steps)[time]
        hidden = flow.action_time_mlp_out(F.silu(hidden))
        hidden = hidden.to(model.expert.layers[0].self_attn.q_proj.weight.dtype)
        for (_, layer, cross), key, value in zip(
            model.layers(), self._context.keys, self._context.values, strict=True
        ):
            attention = layer.self_attn
            normed = layer.input_layernorm(hidden)
            query = _split(attention.q_proj(normed), model)
            if cross:
                mixed = attend(rotate(query, *self._turn_cross), key, value, self._bias_cross)
            else:
                own = rotate(_split(attention.k_proj(normed), model), *self._turn)
                key = torch.cat([key, own], dim=2)
                value = torch.cat([value, _split(attention.v_proj(normed), model)], dim=2)
                mixed = attend(rotate(query, *self._turn), key, value, self._bias)
            hidden = _after(layer, hidden, mixed)
        velocity: Tensor = flow.action_out_proj(model.expert.norm(hidden).float())
        return velocity.float()


def step_masks(present: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(B, N, L) what actions see of the prefix, and (B, N, L + N) of it and of one another."""
    seen = present[:, None, :].expand(-1, size, -1)
    earlier = torch.ones(size, size, dtype=torch.bool, device=present.device).tril()
    return seen, torch.cat([seen, earlier.expand(len(present), -1, -1)], dim=2)


def shared_bias(allowed: Tensor, model: SmolVLA) -> Tensor:
    """(B, 1, R·S, T) what is added to the scores of R heads that share keys, from (B, S, T) bool.

    The R queries that share a key-value head stand one below the other, as R·S queries of one head:
    keys and values need not be repeated.
    """
    bias = torch.zeros(allowed.shape, dtype=torch.float32, device=allowed.device)
    bias.masked_fill_(~allowed, torch.finfo(torch.float32).min)
    return bias.repeat(1, model.heads // model.groups, 1)[:, None]


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """(B, R·G, S, H) queries over (B, G, T, H) keys and values → (B, S, R·G·H)."""
    batch, heads, length, size = query.shape
    groups = key.shape[1]
    grouped = query.reshape(batch, groups, heads // groups * length, size)
    if bias is not None:
        bias = bias.to(query.dtype)
    key, value = key.to(query.dtype), value.to(query.dtype)
    mixed = F.scaled_dot_product_attention(grouped, key, value, attn_mask=bias)
    return mixed.reshape(batch, heads, length, size).transpose(1, 2).flatten(2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The rotary embedding: the halves of each head are the axes of a plane."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def _split(x: Tensor, model: SmolVLA) -> Tensor:
    """(B, S, n·H) → (B, n, S, H)."""
    return x.reshape(*x.shape[:2], -1, model.head_size).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    """(B, n, S, H) → (B, S, n·H)."""
    return x.transpose(1, 2).flatten(2)


def _after(layer: Any, hidden: Tensor, mixed: Tensor) -> Tensor:
    """The rest of a layer once its attention is done."""
    hidden = hidden + layer.self_attn.o_proj(mixed.to(layer.self_attn.o_proj.weight.dtype))
    result: Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return result
