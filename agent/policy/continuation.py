"""What a policy needs to continue a plan: the plan in its own space, and a hook into its sampler.

A plan comes in the robot's units; real-time chunking (``guidance``) compares normalised actions.
Which policies can be guided is asked before anything is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.rtc import RTCConfig, reanchor_relative_rtc_prefix
from lerobot.processor import (
    NormalizerProcessorStep,
    RelativeActionsProcessorStep,
    TransitionKey,
    create_transition,
)
from numpy.typing import NDArray
from torch import Tensor

from agent.policy.guidance import MAX_WEIGHT, Denoise, Guidance
from robots.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from agent.policy.load import LoadedPolicy

GUIDED = ("smolvla", "pi0", "pi05")
"""Policies whose sampler is LeRobot's ``euler_integrate``, which has the hook."""


def check_can_continue(config: PreTrainedConfig) -> None:
    """Whether this policy can be guided by a plan.

    Raises:
        ConfigError: it isn't a flow policy that LeRobot lets guide.
    """
    if config.type not in GUIDED:
        raise ConfigError(
            f"a policy of type {config.type} can't continue a plan, only a flow policy can",
            field="--inference.merge",
            value="rtc",
            remedy=f"Choose another merge, or one of {', '.join(GUIDED)}",
        )
    if getattr(config, "adapt_to_pi_aloha", False):
        raise ConfigError(
            "a policy with adapt_to_pi_aloha gives its actions in another space than it computes "
            "them in",
            field="--inference.merge",
            value="rtc",
            remedy="Choose another merge",
        )


def normalised_plan(
    loaded: LoadedPolicy, plan: NDArray[np.float32], state: NDArray[np.float32]
) -> Tensor:
    """A plan as the policy would have computed it, by its own processor, as in training.

    Args:
        loaded: The policy.
        plan: (L, A) in the robot's units.
        state: (S,) in the robot's units, of the observation that the new chunk is computed from:
            where actions are relative, they are relative to it.

    Returns:
        (L, A) on the policy's device.

    Raises:
        ModelError: the policy's processor doesn't normalise actions by LeRobot's own steps.
    """
    steps = loaded.preprocess.steps
    normalizer = next((s for s in steps if isinstance(s, NormalizerProcessorStep)), None)
    if normalizer is None or "action" not in normalizer.stats:
        raise ModelError(
            "its processor has no statistics that a plan could be normalised by",
            field="--policy.path",
            remedy="Choose another --inference.merge than rtc",
        )
    relative = next((s for s in steps if isinstance(s, RelativeActionsProcessorStep)), None)
    actions = torch.from_numpy(np.ascontiguousarray(plan, np.float32)).to(loaded.device)
    if relative is not None and relative.enabled:
        normalised: Tensor = reanchor_relative_rtc_prefix(
            actions, torch.from_numpy(state), relative, normalizer, loaded.device
        )
        return normalised
    normalised = normalizer(create_transition(action=actions))[TransitionKey.ACTION]
    return normalised.to(loaded.device)


@dataclass(frozen=True, kw_only=True)
class Guiding:
    """How plans are continued; see ``guidance``.

    Args:
        exact: The true vector–Jacobian product, else the identity.
        max_weight: The paper's β.
    """

    exact: bool = True
    max_weight: float = MAX_WEIGHT

    def towards(self, plans: Sequence[Tensor | None], frozen: Sequence[int]) -> Guidance | None:
        """The guidance of one pass, or ``None`` where no robot has a plan."""
        if all(plan is None for plan in plans):
            return None
        return Guidance(plans, frozen, exact=self.exact, max_weight=self.max_weight)


class _Hook:
    """Stands where LeRobot's ``RTCProcessor`` does and asks ``Guidance`` instead."""

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance

    def denoise_step(
        self, *, x_t: Tensor, time: float, original_denoise_step_partial: Denoise, **_: Any
    ) -> Tensor:
        return self._guidance.velocity(original_denoise_step_partial, x_t, float(time))

    def is_debug_enabled(self) -> bool:
        return False


@contextlib.contextmanager
def guided(policy: PreTrainedPolicy, guidance: Guidance) -> Iterator[None]:
    """While this lasts, LeRobot's own sampler is guided; afterwards it is as it was.

    Raises:
        ConfigError: the policy can't be guided.
    """
    check_can_continue(policy.config)
    model: Any = policy.model
    kept = model.rtc_processor, policy.config.rtc_config
    model.rtc_processor, policy.config.rtc_config = _Hook(guidance), RTCConfig(enabled=True)
    try:
        yield
    finally:
        model.rtc_processor, policy.config.rtc_config = kept
