"""SmolVLA as our parts know it: LeRobot's modules by name, and what we can't do.

The only place that reaches into LeRobot's and transformers' modules for their layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lerobot.policies.common.vla_utils import create_sinusoidal_pos_embedding
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor, nn

from robots.errors import ModelError


class SmolVLA:
    """A policy's modules.

    Args:
        policy: LeRobot's SmolVLA, in evaluation mode.

    Raises:
        ModelError: it is built in a way that our parts don't know, or its weights are gone.
    """

    def __init__(self, policy: PreTrainedPolicy) -> None:
        _check(policy)
        self.policy: Any = policy
        self.config: Any = policy.config
        self.flow: Any = policy.model
        self.backbone: Any = self.flow.vlm_with_expert
        vlm = self.backbone.get_vlm_model()
        self.vision: Any = vlm.vision_model
        self.connector: Any = vlm.connector
        self.text: Any = vlm.text_model
        self.expert: Any = self.backbone.lm_expert
        text = self.backbone.config.text_config
        self.heads: int = text.num_attention_heads
        self.groups: int = text.num_key_value_heads
        self.head_size: int = text.head_dim
        self.width: int = text.hidden_size
        self._times: dict[int, Tensor] = {}

    def layers(self) -> Iterator[tuple[Any, Any, bool]]:
        """(layer of the language model, of the expert, whether the expert looks at the prefix
        only), from the first on."""
        every = self.config.self_attn_every_n_layers
        cross = "cross" in self.config.attention_mode
        for i, (text, expert) in enumerate(zip(self.text.layers, self.expert.layers, strict=True)):
            yield text, expert, cross and not (every > 0 and i % every == 0)

    def times(self, num_steps: int) -> Tensor:
        """(num_steps, 2·E): what the times of the steps add to the actions' first layer.

        That layer reads actions and time side by side; the half that reads the time is the same in
        every chunk.
        """
        if num_steps not in self._times:
            layer = self.flow.action_time_mlp_in
            size = self.backbone.expert_hidden_size
            times = [1.0 + step * (-1.0 / num_steps) for step in range(num_steps)]
            embedding = create_sinusoidal_pos_embedding(
                torch.tensor(times, dtype=torch.float32, device=layer.weight.device),
                size,
                self.config.min_period,
                self.config.max_period,
                device=layer.weight.device,
            ).to(layer.weight.dtype)
            with torch.no_grad():
                self._times[num_steps] = embedding @ layer.weight[:, size:].T + layer.bias
        return self._times[num_steps]

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(…, H/2) cosines and sines of the rotary embedding at (…) positions, as LeRobot has
        them."""
        half = self.head_size // 2
        exponents = (2.0 / self.head_size) * torch.arange(
            half, dtype=torch.float32, device=positions.device
        )
        radians = positions[..., None].float() / 10_000**exponents
        return torch.cos(radians), torch.sin(radians)

    def patch_positions(self, height: int, width: int) -> Tensor:
        """(T, E) what the vision tower adds to the patches of a picture of this size."""
        embeddings, weight = self.vision.embeddings, self.vision.embeddings.patch_embedding.weight
        asked: list[Tensor] = []
        hook = embeddings.position_embedding.register_forward_pre_hook(
            lambda _, args: asked.append(args[0])
        )
        side = embeddings.patch_size
        try:
            with torch.no_grad():
                embeddings(
                    pixel_values=weight.new_zeros(1, weight.shape[1], height, width),
                    patch_attention_mask=torch.ones(
                        1, height // side, width // side, dtype=torch.bool, device=weight.device
                    ),
                )
        finally:
            hook.remove()
        table: Tensor = embeddings.position_embedding.weight.detach()[asked[0][0]]
        return table


def _check(policy: PreTrainedPolicy) -> None:
    config: Any = policy.config
    if any(parameter.is_meta for parameter in policy.parameters()):
        raise ModelError("its weights were taken over by another engine", remedy="Load it again")
    backbone: Any = policy.model.vlm_with_expert
    layers = len(backbone.get_vlm_model().text_model.layers)
    vision, text = backbone.config.vision_config, backbone.config.text_config
    odd = {
        "num_expert_layers": backbone.num_expert_layers != layers,
        "use_cache": not config.use_cache,
        "add_image_special_tokens": config.add_image_special_tokens,
        "vision hidden_act": vision.hidden_act != "gelu_pytorch_tanh",
        "text hidden_act": text.hidden_act != "silu",
    }
    odd |= {
        f"the layer {name}": True
        for name, module in policy.named_modules()
        if hasattr(module, "weight")
        and isinstance(module, nn.Module)
        and not list(module.children())
        and not _known(module)
    }
    for what, is_odd in odd.items():
        if is_odd:
            raise ModelError(
                "is built in a way that only plain torch can compute",
                field="policy",
                value=what,
                remedy="Use --inference.engine=torch",
            )


def _known(module: nn.Module) -> bool:
    # By exact type: an adapter's layer computes more than the one that it derives from.
    return type(module) in (nn.Linear, nn.LayerNorm, nn.Conv2d, nn.Embedding) or type(
        module
    ).__name__.endswith("RMSNorm")
