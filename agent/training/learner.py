"""The optimiser's steps, which can be left and gone on with bit for bit.

What a step does follows from the weights, the optimiser's memory and the step's number: its batch
and its random numbers are drawn from the seed and the number, not from what was drawn before. So
that is all that a checkpoint holds.

There is no learning-rate schedule: LeRobot's presets warm up over a thousand steps, which is longer
than a round.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent.policy.load import LoadedPolicy
from agent.training.config import TrainConfig
from agent.training.frames import TrainingFrames
from robots.errors import ModelError

_WEIGHTS, _BUFFER, _OPTIMIZER = "weights/", "buffer/", "optimizer/"


class Learner:
    """Trains what of a policy requires gradients.

    Args:
        loaded: The policy, with the weights from which the round began.
        frames: What it learns from.
        config: How.
    """

    def __init__(self, loaded: LoadedPolicy, frames: TrainingFrames, config: TrainConfig) -> None:
        self.done = 0
        """Steps."""
        self.losses: list[float] = []
        """The loss of each."""
        self._loaded = loaded
        self._policy: Any = loaded.policy
        self._frames = frames
        self._config = config
        preset = self._policy.config.get_optimizer_preset()
        if config.lr:
            preset = dataclasses.replace(preset, lr=config.lr)
        self._optimizer = preset.build(self._policy.get_optim_params())
        self._limit = preset.grad_clip_norm or math.inf
        self._parameters = {n: p for n, p in self._policy.named_parameters() if p.requires_grad}
        self._anchor = (
            [p.detach().clone() for p in self._parameters.values()] if config.proximal_mu else []
        )

    def step(self) -> float:
        """One more; its loss.

        Raises:
            ModelError: it isn't finite.
        """
        _draw_from(self._config.seed, self.done)
        self._policy.train()
        batch = self._loaded.preprocess(self._frames.batch(self.done))
        loss, _ = self._policy.forward(batch)
        value = float(loss.item())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} at step {self.done + 1}",
                remedy="Lower --train.lr or see the data set",
            )
        parameters = list(self._parameters.values())
        if self._anchor:
            loss = loss + self._config.proximal_mu / 2 * _distance(parameters, self._anchor)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, self._limit)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._policy.eval()
        self.done += 1
        self.losses.append(value)
        return value

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a later :meth:`go_on` needs beside ``losses``; the tensors are those in
        use, not copies."""
        tensors = {_WEIGHTS + name: p.detach() for name, p in self._parameters.items()}
        tensors |= {_BUFFER + name: b for name, b in self._buffers().items()}
        for index, entries in self._optimizer.state_dict()["state"].items():
            for name, value in entries.items():
                # Adam's count of steps is a tensor in today's PyTorch; a number would do as well.
                tensors[f"{_OPTIMIZER}{index}/{name}"] = torch.as_tensor(value)
        return tensors

    def go_on(self, tensors: Mapping[str, Tensor], losses: list[float]) -> None:
        """Be where another learner of the same policy, frames and configuration was.

        Raises:
            ModelError: the tensors aren't such a learner's.
        """
        own = {_WEIGHTS + n: p.detach() for n, p in self._parameters.items()}
        own |= {_BUFFER + n: b for n, b in self._buffers().items()}
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(_OPTIMIZER):
                index, entry = name.removeprefix(_OPTIMIZER).split("/", 1)
                state.setdefault(int(index), {})[entry] = tensor
        given = {name: t for name, t in tensors.items() if not name.startswith(_OPTIMIZER)}
        if given.keys() != own.keys() or any(given[n].shape != own[n].shape for n in own):
            raise ModelError("isn't of this training", field="checkpoint")
        for name, tensor in given.items():
            own[name].copy_(tensor)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.losses = list(losses)
        self.done = len(self.losses)

    def _buffers(self) -> dict[str, Tensor]:
        """Those that are saved with the policy: some layers count in them while they train."""
        saved = self._policy.state_dict(keep_vars=True)
        return {n: b.detach() for n, b in self._policy.named_buffers() if n in saved}


def _draw_from(seed: int, step: int) -> None:
    """Seed all that a step may draw from."""
    torch.manual_seed((seed << 20) + step)
    both = (seed * 1_000_003 + step) % 2**32
    random.seed(both)
    np.random.seed(both)


def _distance(parameters: list[nn.Parameter], anchor: list[Tensor]) -> Tensor:
    """Squared distance from where the round began (FedProx, arXiv:1812.06127)."""
    parts = [(p - a).square().sum() for p, a in zip(parameters, anchor, strict=True)]
    return torch.stack(parts).sum()
