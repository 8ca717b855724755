"""Which of a policy's tensors are trained: what a fleet averages. The rest is its base."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch
from lerobot.policies.factory import get_policy_class
from torch import nn

from agent.policy.load import read_config
from robots.errors import ModelError


def trainable_names(folder: Path) -> frozenset[str]:
    """Names of the parameters that require gradients once LeRobot has built the policy.

    Raises:
        ModelError: the policy can't be built.
    """
    policy = without_weights(folder)
    return frozenset(name for name, p in policy.named_parameters() if p.requires_grad)


def without_weights(folder: Path) -> nn.Module:
    """A policy as LeRobot builds it, without memory for its weights: 450 M parameters take a
    second, not ten.

    Raises:
        ModelError: the policy can't be built.
    """
    config = read_config(str(folder))
    config.device = "cpu"
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.device("meta"):
            policy: nn.Module = get_policy_class(config.type)(config)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"can't be built: {' '.join(str(error).split())[:200]}", field="policy", value=folder
        ) from error
    return policy
