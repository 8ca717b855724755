"""SmolVLA's parts in torch, without what LeRobot's loop repeats.

LeRobot's step projects the keys and values of the prefix anew in every step, repeats them for the
heads that share them, and makes masks, positions, rotations and the embedding of the time. Here
all that is made once for a chunk, or once. Everything is differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        model = self._model
        cos, sin = (t[:, None] for t in model.rotation(prefix.positions))
        bias = shared_bias(prefix.allowed, model)
        keys, values = read(model, prefix.embeddings, cos, sin, bias)
        return Context(tuple(keys), tuple(values), prefix.present, prefix.present.sum(dim=1))

    def step(self, context: Context) -> Step:
        return TorchStep(self._model, context)


def read(
    model: SmolVLA, embeddings: Tensor, cos: Tensor, sin: Tensor, bias: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values of each layer, see ``Context``: of the last layer they are all that is read.

    Args:
        model: The policy.
        embeddings: (B, L, D).
        cos, sin: (B, 1, L, H/2) of the rotary embedding.
        bias: (B, 1, R·L, L), see ``shared_bias``.
    """
    keys, values = [], []
    hidden = embeddings.to(model.text.layers[0].self_attn.q_proj.weight.dtype)
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
    return keys, values


class TorchStep:
    """One denoising step in torch.

    Args:
        model: The policy.
        context: Of the chunk, from whatever computed it.
        compute: ``velocity``, or what does the same.
        whole: Whether a bias is given also where nothing is hidden.
    """

    def __init__(
        self,
        model: SmolVLA,
        context: Context,
        compute: Callable[..., Tensor] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._model = model
        self._keys, self._values = context.keys, context.values
        self._compute = compute or velocity
        size = model.config.chunk_size
        device = context.first.device
        ticks = torch.arange(size, device=device)
        # Where it looks at the prefix only, the expert counts its own positions from 0.
        cos_cross, sin_cross = (t[None, None] for t in model.rotation(ticks))
        cos, sin = (t[:, None] for t in model.rotation(context.first[:, None] + ticks))
        seen, causal = step_masks(context.present, size)
        # What hides nothing costs something.
        visible = not whole and bool(seen.all())
        self._across = cos_cross, sin_cross, None if visible else shared_bias(seen, model)
        self._both = cos, sin, shared_bias(causal, model)

    def __call__(self, x_t: Tensor, time: int) -> Tensor:
        model = self._model
        return self._compute(
            model,
            x_t,
            model.times(model.config.num_steps)[time],
            self._keys,
            self._values,
            self._both,
            self._across,
        )


def velocity(
    model: SmolVLA,
    x_t: Tensor,
    time: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    both: tuple[Tensor, Tensor, Tensor],
    across: tuple[Tensor, Tensor, Tensor | None],
) -> Tensor:
    """(B, N, A) of the noisy actions.

    Args:
        model: The policy.
        x_t: (B, N, A) noisy actions.
        time: (2·E,) what the step's time adds, see ``SmolVLA.times``.
        keys, values: See ``Context``.
        both: Cosines, sines and bias of layers that look at prefix and actions.
        across: The same of those that look at the prefix only.
    """
    flow = model.flow
    (cos, sin, bias), (cos_cross, sin_cross, bias_cross) = both, across
    inner = flow.action_time_mlp_in.weight[:, : model.backbone.expert_hidden_size]
    hidden = flow.action_in_proj(x_t) @ inner.T + time
    hidden = flow.action_time_mlp_out(F.silu(hidden))
    hidden = hidden.to(model.expert.layers[0].self_attn.q_proj.weight.dtype)
    for (_, layer, cross), key, value in zip(model.layers(), keys, values, strict=True):
        attention = layer.self_attn
        normed = layer.input_layernorm(hidden)
        query = _split(attention.q_proj(normed), model)
        if cross:
            mixed = attend(rotate(query, cos_cross, sin_cross), key, value, bias_cross)
        else:
            own = rotate(_split(attention.k_proj(normed), model), cos, sin)
            key = torch.cat([key, own], dim=2)
            value = torch.cat([value, _split(attention.v_proj(normed), model)], dim=2)
            mixed = attend(rotate(query, cos, sin), key, value, bias)
        hidden = _after(layer, hidden, mixed)
    result: Tensor = flow.action_out_proj(model.expert.norm(hidden).float())
    return result.float()


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
