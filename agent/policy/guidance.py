"""Real-time chunking: a new chunk that continues the plan the arm is already carrying out.

After Black, Galliker and Levine, *Real-Time Execution of Action Chunking Flow Policies*, 2025
(arXiv 2506.07339). The plan that is left when a chunk is asked for is painted into the new one: its
first ``d`` actions will have been carried out before the chunk arrives, so they are held (weight
1); those after may change, the later the more (the soft mask); those beyond are free. Each
denoising step then moves towards the plan along the gradient of its own prediction (ΠGDM):

    Â = x_t − t·v(x_t)                                      what the step believes the actions are
    v + min(β, (1 − τ)/(τ·r²)) · J(Â)ᵀ·W·(Y − Â)            in the paper's time τ = 1 − t
    r² = (1 − τ)²/(τ² + (1 − τ)²)

In LeRobot's time, which runs from 1 (noise) to 0 (actions), velocities have the opposite sign.

LeRobot 0.6.1's ``RTCProcessor`` computes v before ``x_t`` requires a gradient, so its Jacobian of
Â is the identity (here: ``exact=False``, which costs no backward pass and lets through what the
policy's own sense of a chunk would have corrected). It differs besides: what it calls
``execution_horizon`` is where the mask *ends*, not H − s; its defaults are β = 10 and a linear
mask; one delay and one length hold for a whole batch; and the policy's padded action dimensions
are pulled towards zero. Its mask weights are the paper's.

This file knows no policy and no robot: actions are normalised, and rows of a batch are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from lerobot.configs import RTCAttentionSchedule as Schedule
from torch import Tensor

from robots.errors import ModelError

MAX_WEIGHT = 5.0
"""β of the paper: with few denoising steps a larger one diverges."""

Denoise = Callable[[Tensor], Tensor]
"""(B, H, M) noisy actions → (B, H, M) velocity, at a time that it knows."""


class Guidance:
    """Turns the velocity of a flow policy towards the plans of the robots in a batch.

    Args:
        plans: For each row (L, A) normalised actions, the first for the chunk's own first tick, or
            ``None``: this row has no plan, and its velocity stays as it is. A may be less than the
            policy's padded width M; only these A dimensions are compared.
        frozen: For each row the paper's d: so many actions of the plan are carried out before the
            chunk can arrive. More than the plan has counts as all it has.
        horizon: The paper's s: the mask ends at H − s, the policy's chunk size less this, and in
            any case where the plan does; 0: there. (A plan of which s actions were carried out has
            H − s left, so the two are the same unless the plan came from several chunks.)
        exact: The true vector–Jacobian product; else the identity in place of the Jacobian.
        max_weight: The paper's β.
        schedule: Of the mask between d and H − s; the paper's is exponential.

    Raises:
        ModelError: rows that don't match, or a number out of range.
    """

    def __init__(
        self,
        plans: Sequence[Tensor | None],
        frozen: Sequence[int],
        *,
        horizon: int = 0,
        exact: bool = True,
        max_weight: float = MAX_WEIGHT,
        schedule: Schedule = Schedule.EXP,
    ) -> None:
        if len(plans) != len(frozen):
            raise ModelError(f"{len(plans)} plans for {len(frozen)} delays", field="frozen")
        for name, value in (("frozen", min(frozen, default=0)), ("horizon", horizon)):
            if value < 0:
                raise ModelError("can't be negative", field=name, value=value)
        if not max_weight > 0:
            raise ModelError("must be positive", field="max_weight", value=max_weight)
        self.exact = exact
        self._plans = [p if p is not None and len(p) else None for p in plans]
        self._frozen = list(frozen)
        self._horizon = horizon
        self._max_weight = max_weight
        self._schedule = schedule
        self._painted: tuple[Tensor, Tensor] | None = None

    def velocity(self, denoise: Denoise, x_t: Tensor, time: float) -> Tensor:
        """The guided velocity of one denoising step.

        Args:
            denoise: Where ``exact``, of operations that torch can differentiate. It is called once.
            x_t: (B, H, M) noisy actions.
            time: LeRobot's, 1 (noise) → 0 (actions).

        Returns:
            (B, H, M), without a graph; no weight of the policy gets a gradient.

        Raises:
            ModelError: ``denoise`` can't be differentiated, or the batch is of another size.
        """
        if len(self._plans) != len(x_t):
            raise ModelError(f"{len(self._plans)} plans for a batch of {len(x_t)}", field="plans")
        if all(plan is None for plan in self._plans):
            return denoise(x_t)
        if self._painted is None:
            self._painted = self._paint(x_t)
        plan, mask = self._painted
        if not self.exact:
            v = denoise(x_t)
            return v - guidance_weight(time, self._max_weight) * mask * (plan - (x_t - time * v))
        v, correction = _pulled_back(denoise, x_t, time, plan, mask)
        return v - guidance_weight(time, self._max_weight) * correction

    def _paint(self, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """The plans and their weights, both (B, H, M); what no plan knows weighs nothing."""
        plan, mask = torch.zeros_like(x_t), torch.zeros_like(x_t)
        size = x_t.shape[1]
        for row, (actions, frozen) in enumerate(zip(self._plans, self._frozen, strict=True)):
            if actions is None:
                continue
            known, width = min(len(actions), size), actions.shape[1]
            if width > x_t.shape[2]:
                raise ModelError(
                    f"of {width} actions, the policy has {x_t.shape[2]}", field="plans"
                )
            held = min(frozen, known)
            # The paper asks for d ≤ H − s. Where a chunk is later than that, what is carried out
            # anyway still counts in full.
            end = max(held, min(known, size - self._horizon))
            plan[row, :known, :width] = actions[:known].to(x_t)
            mask[row, :, :width] = mask_weights(held, end, size, self._schedule).to(x_t)[:, None]
        return plan, mask


def mask_weights(frozen: int, end: int, size: int, schedule: Schedule = Schedule.EXP) -> Tensor:
    """How much each action of a chunk is bound to the plan: the paper's equation 5.

    Args:
        frozen: d; these weigh 1.
        end: H − s, at least d; from here on 0.
        size: H.
        schedule: Between the two. ``EXP``: c·(eᶜ − 1)/(e − 1) with c = (end − i)/(end − d + 1);
            ``LINEAR``: c itself; ``ONES``: 1; ``ZEROS``: 0, a hard mask.

    Returns:
        (size,)
    """
    i = torch.arange(size, dtype=torch.float32)
    c = ((end - i) / (end - frozen + 1)).clamp(0.0, 1.0)
    between = {
        Schedule.EXP: c * torch.expm1(c) / (math.e - 1),
        Schedule.LINEAR: c,
        Schedule.ONES: (i < end).float(),
        Schedule.ZEROS: torch.zeros(size),
    }[schedule]
    return torch.where(i < frozen, 1.0, between)


def guidance_weight(time: float, max_weight: float = MAX_WEIGHT) -> float:
    """min(β, (1 − τ)/(τ·r²)) = min(β, (t² + τ²)/(t·τ)): β at both ends, 2 in the middle."""
    tau = 1.0 - time
    if tau <= 0.0 or time <= 0.0:
        return max_weight
    return min(max_weight, (time**2 + tau**2) / (time * tau))


def _pulled_back(
    denoise: Denoise, x_t: Tensor, time: float, plan: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The velocity, and Jᵀ·W·(Y − Â) with J = I − t·∂v/∂x, by one backward pass."""
    if torch.is_inference_mode_enabled():
        raise ModelError(
            "torch.inference_mode forbids the gradients that exact guidance needs",
            remedy="Ask under torch.no_grad instead",
        )
    with torch.enable_grad():
        x = x_t.detach().requires_grad_(True)
        v = denoise(x)
        if not v.requires_grad:
            # An engine outside of torch: its Jacobian would be taken for zero, without a word.
            raise ModelError(
                "exact guidance needs an engine that torch can differentiate",
                remedy="Use the torch engine, or the approximation",
            )
        error = mask * (plan - (x.detach() - time * v.detach()))
        (through_v,) = torch.autograd.grad(v, x, error)
    return v.detach(), error - time * through_v
