"""SmolVLA's chunk from its parts: LeRobot's ``sample_actions`` with a runtime of one's choice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from agent.policy.engines.smolvla.model import SmolVLA
from agent.policy.engines.smolvla.parts import Parts, Prefix, Step
from agent.policy.engines.smolvla.torch_parts import TorchStep

if TYPE_CHECKING:
    from agent.policy.guidance import Guidance

_STATE = "observation.state"
_TOKENS = "observation.language.tokens"
_TOKENS_PRESENT = "observation.language.attention_mask"


class SmolVLAEngine:
    """Samples chunks.

    What no row of a batch has is not computed: the padding of the language (but where shapes are
    to be the same each time), cameras that aren't there. Nothing may look at them, so their absence
    changes no number.

    Args:
        model: The policy.
        parts: What computes.
        name: What the user calls it.
        exact: Whether that equals LeRobot's fp32.
        independent: Whether no row of a batch changes another's numbers.
        static: Whether every task is to take the same number of tokens.
        autocast: Type that torch computes products in; ``None``: the weights' own.
    """

    def __init__(
        self,
        model: SmolVLA,
        parts: Parts,
        *,
        name: str,
        exact: bool,
        independent: bool = True,
        static: bool = False,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.name = name
        self.exact = exact
        self.independent = independent
        self.timings: dict[str, float] = {}
        """Seconds of the last pass by stage: vision_s, prefix_s, steps_s."""
        self._model = model
        self._parts = parts
        self._static = static
        self._autocast = autocast

    def noise_shape(self, batch_size: int) -> tuple[int, int, int] | None:
        config = self._model.config
        return batch_size, config.chunk_size, config.max_action_dim

    looks_back = 1

    def remember(self, batch: dict[str, Any], *, robots: Sequence[str]) -> None:
        """It looks at one observation."""

    def forget(self, robot: str) -> None:
        """Nothing is remembered."""

    def predict(
        self,
        batch: dict[str, Any],
        *,
        robots: Sequence[str],
        noise: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> Tensor:
        policy, config = self._model.policy, self._model.config
        batch = dict(batch)
        if config.adapt_to_pi_aloha:
            # LeRobot turns the state in place.
            batch[_STATE] = policy._pi_aloha_decode_state(batch[_STATE].clone())
        device = self._model.flow.action_in_proj.weight.device.type
        mixed = torch.autocast(device, self._autocast, enabled=self._autocast is not None)
        with torch.no_grad(), mixed:
            began = time.perf_counter()
            cameras = self._cameras(batch)
            seen = time.perf_counter()
            context = self._parts.prefix(self._prefix(batch, cameras))
            read = time.perf_counter()
            if noise is None:
                noise = self._noise(len(robots))
            if guidance is not None and guidance.exact:
                step: Step = TorchStep(self._model, context)
            else:
                step = self._parts.step(context)
            actions = self._integrate(step, noise, guidance)
            done = time.perf_counter()
        self.timings = {
            "vision_s": seen - began,
            "prefix_s": read - seen,
            "steps_s": done - read,
        }
        actions = actions[:, :, : config.action_feature.shape[0]]
        if config.adapt_to_pi_aloha:
            actions = policy._pi_aloha_encode_actions(actions)
        return actions

    def _integrate(self, step: Step, x_t: Tensor, guidance: Guidance | None) -> Tensor:
        """Euler from noise at time 1 to actions at time 0, as LeRobot's ``euler_integrate``."""
        steps = self._model.config.num_steps
        dt = -1.0 / steps
        for i in range(steps):

            def denoise(x: Tensor, i: int = i) -> Tensor:
                return step(x, i)

            velocity = (
                denoise(x_t) if guidance is None else guidance.velocity(denoise, x_t, 1.0 + i * dt)
            )
            x_t = x_t + dt * velocity
        return x_t

    def _noise(self, rows: int) -> Tensor:
        config = self._model.config
        noise: Tensor = self._model.flow.sample_noise(
            (rows, config.chunk_size, config.max_action_dim),
            self._model.flow.action_in_proj.weight.device,
        )
        return noise

    def _cameras(self, batch: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
        """For each camera that any row has: (B, T, D) embeddings and (B,) which rows have it."""
        images, masks = self._model.policy.prepare_images(batch)
        scale = self._model.width**0.5
        return [
            (self._parts.vision(image) * scale, mask)
            for image, mask in zip(images, masks, strict=True)
            if bool(mask.any())
        ]

    def _prefix(self, batch: dict[str, Any], cameras: list[tuple[Tensor, Tensor]]) -> Prefix:
        model = self._model
        state = model.policy.prepare_state(batch)
        tokens, said = batch[_TOKENS], batch[_TOKENS_PRESENT].bool()
        if self._static:
            room = max(0, model.config.tokenizer_max_length - tokens.shape[1])
            tokens, said = F.pad(tokens, (0, room)), F.pad(said, (0, room))
        else:
            some = said.any(dim=0)
            tokens, said = tokens[:, some], said[:, some]
        words = model.backbone.embed_language_tokens(tokens) * model.width**0.5
        state_token = model.flow.state_proj(state.to(model.flow.state_proj.weight.dtype))[:, None]
        embeddings = torch.cat(
            [*(seen for seen, _ in cameras), words.to(state_token), state_token], dim=1
        )
        present = torch.cat(
            [
                *(mask[:, None].expand(-1, seen.shape[1]) for seen, mask in cameras),
                said,
                said.new_ones(len(said), 1),
            ],
            dim=1,
        )
        # Pictures and words look at one another; the state, which is last, looks at all.
        visible = torch.ones(
            present.shape[1], present.shape[1], dtype=torch.bool, device=present.device
        )
        visible[:-1, -1] = False
        return Prefix(
            embeddings=embeddings,
            allowed=present[:, None, :] & visible,
            positions=present.long().cumsum(dim=1) - 1,
            present=present,
        )
