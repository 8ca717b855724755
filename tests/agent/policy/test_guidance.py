"""Real-time chunking against the paper's definition, on flows whose answers are known.

For data N(μ, C) the velocity of flow matching is linear in x, so what a step believes of the
actions is too:  Â(x, t) = μ + K·(x − (1 − t)·μ)  with  K = (1 − t)·C·((1 − t)²·C + t²·I)⁻¹.  Its
Jacobian is K, which couples the actions of a chunk as C does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from lerobot.configs import RTCAttentionSchedule as Schedule
from lerobot.policies.rtc import RTCConfig, RTCProcessor
from torch import Tensor

from agent.policy.guidance import Guidance, guidance_weight, mask_weights
from robots.errors import ModelError

H, A = 12, 2
D, S = 3, 4
MEAN = torch.linspace(-1.0, 1.0, H).double()
DISTANCE = torch.arange(H)[:, None] - torch.arange(H)[None, :]
COVARIANCE = torch.exp(-((DISTANCE / 3.0) ** 2) / 2).double() + 1e-4 * torch.eye(H).double()
"""A smooth chunk: neighbours move together."""

Step = Callable[[Tensor, float], Tensor]


def gain(time: float) -> Tensor:
    tau = 1.0 - time
    spread = tau**2 * COVARIANCE + time**2 * torch.eye(H).double()
    inverse: Tensor = torch.linalg.inv(spread)
    return tau * COVARIANCE @ inverse


def believed(x: Tensor, time: float) -> Tensor:
    """(B, H, A) → Â, for each action dimension the same Gaussian."""
    mean = MEAN[:, None]
    return mean + torch.einsum("ij,bja->bia", gain(time), x - (1.0 - time) * mean)


def gaussian(x: Tensor, time: float) -> Tensor:
    return (x - believed(x, time)) / time


def integrate(step: Step, noise: Tensor, steps: int) -> Tensor:
    """LeRobot's ``euler_integrate``."""
    x = noise
    for i in range(steps):
        time = 1.0 - i / steps
        x = x - step(x, time) / steps
    return x


def noise(rows: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, H, A, generator=generator, dtype=torch.float64)


def plan(length: int = H, seed: int = 1) -> Tensor:
    """A draw from the same Gaussian: what the chunk before might have been."""
    factor = torch.linalg.cholesky(COVARIANCE)
    drawn: Tensor = MEAN[:, None] + factor @ noise(seed=seed)[0]
    return drawn[:length]


def sample(guidance: Guidance, start: Tensor, steps: int = 10) -> Tensor:
    def step(x: Tensor, time: float) -> Tensor:
        return guidance.velocity(lambda y: gaussian(y, time), x, time)

    return integrate(step, start, steps)


# The definition ---------------------------------------------------------------------------------


def test_the_mask_is_equation_5() -> None:
    weights = mask_weights(D, H - S, H)
    for i in range(H):
        c = (H - S - i) / (H - S - D + 1)
        expected = 1.0 if i < D else c * (math.exp(c) - 1) / (math.e - 1) if i < H - S else 0.0
        assert weights[i] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("schedule", list(Schedule))
@pytest.mark.parametrize(("frozen", "end"), [(3, 8), (0, 8), (8, 8), (0, 0), (5, 12)])
def test_the_masks_are_those_of_lerobot(schedule: Schedule, frozen: int, end: int) -> None:
    theirs = RTCProcessor(RTCConfig(prefix_attention_schedule=schedule))
    expected = theirs.get_prefix_weights(frozen, end, H)
    torch.testing.assert_close(mask_weights(frozen, end, H, schedule), expected)


def test_the_guidance_weight_is_that_of_equation_2() -> None:
    for tau in (0.1, 0.3, 0.5, 0.9):
        r2 = (1 - tau) ** 2 / (tau**2 + (1 - tau) ** 2)
        assert guidance_weight(1 - tau, 1e9) == pytest.approx((1 - tau) / (tau * r2))
    assert guidance_weight(0.5) == pytest.approx(2.0)
    assert guidance_weight(1.0, 5.0) == guidance_weight(0.0, 5.0) == 5.0


@pytest.mark.parametrize("time", [1.0, 0.7, 0.2])
def test_the_exact_velocity_is_the_paper_s(time: float) -> None:
    """By hand: v − w·Kᵀ·W·(Y − Â), the sign being that of LeRobot's time."""
    x, y = noise(), plan()
    error = mask_weights(D, H - S, H).double()[:, None] * (y - believed(x, time)[0])
    expected = gaussian(x, time)[0] - guidance_weight(time) * gain(time).T @ error
    guidance = Guidance([y], [D], horizon=S)
    torch.testing.assert_close(
        guidance.velocity(lambda z: gaussian(z, time), x, time)[0], expected, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("time", [1.0, 0.7, 0.2])
def test_the_approximation_puts_the_identity_in_place_of_the_jacobian(time: float) -> None:
    x, y = noise(), plan()
    error = mask_weights(D, H - S, H).double()[:, None] * (y - believed(x, time)[0])
    expected = gaussian(x, time)[0] - guidance_weight(time) * error
    guidance = Guidance([y], [D], horizon=S, exact=False)
    torch.testing.assert_close(
        guidance.velocity(lambda z: gaussian(z, time), x, time)[0], expected, atol=1e-6, rtol=1e-6
    )


def test_the_exact_velocity_agrees_with_finite_differences_on_a_curved_flow() -> None:
    layer = torch.nn.Linear(H * A, H * A).double()

    def curved(x: Tensor) -> Tensor:
        return torch.tanh(layer(x.flatten(1))).view_as(x)

    x, y, time, step = noise(), plan(), 0.6, 1e-6
    mask = mask_weights(D, H - S, H).double()[:, None].expand(H, A)
    with torch.no_grad():
        error = (mask * (y - (x - time * curved(x))[0])).flatten()
        columns = []
        for i in range(H * A):
            bump = torch.zeros_like(x).view(-1)
            bump[i] = step
            ahead, behind = x + bump.view_as(x), x - bump.view_as(x)
            moved = (ahead - time * curved(ahead)) - (behind - time * curved(behind))
            columns.append(moved.flatten() / (2 * step))
        correction = torch.stack(columns, dim=1).T @ error
        expected = curved(x).flatten() - guidance_weight(time) * correction
        found = Guidance([y], [D], horizon=S).velocity(curved, x, time).flatten()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert layer.weight.grad is None
    assert not found.requires_grad


def test_the_approximation_is_what_lerobot_computes() -> None:
    """Given the paper's mask and β: also that LeRobot's Jacobian is the identity."""
    theirs = RTCProcessor(
        RTCConfig(prefix_attention_schedule=Schedule.EXP, max_guidance_weight=5.0)
    )
    x, y = noise().float(), plan().float()

    def flow(time: float) -> Callable[[Tensor], Tensor]:
        return lambda z: gaussian(z.double(), time).float()

    for time in (1.0, 0.6, 0.1):
        # What LeRobot calls the execution horizon is where the mask ends.
        expected = theirs.denoise_step(x, y, D, time, flow(time), execution_horizon=H - S)
        found = Guidance([y], [D], horizon=S, exact=False).velocity(flow(time), x, time)
        torch.testing.assert_close(found, expected)
        exact = Guidance([y], [D], horizon=S).velocity(flow(time), x, time)
        assert not torch.allclose(exact, expected, atol=1e-2)


# What it is for ---------------------------------------------------------------------------------


def test_a_guided_chunk_begins_as_the_plan_goes_on() -> None:
    y = plan()
    free, guided = integrate(gaussian, noise(), 10), sample(Guidance([y], [D], horizon=S), noise())
    off = (free[0, :D] - y[:D]).abs().mean()
    assert (guided[0, :D] - y[:D]).abs().mean() < 0.1 * off


def unlikely(chunks: Tensor) -> float:
    """Squared Mahalanobis distance from what the policy draws, per action: 1 for a draw of it."""
    off = chunks - MEAN[:, None]
    squared = torch.einsum("bia,ij,bja->ba", off, torch.linalg.inv(COVARIANCE), off)
    return float(squared.mean()) / H


def test_the_exact_jacobian_keeps_a_chunk_one_that_the_policy_would_draw() -> None:
    """A hard mask binds three actions. The Jacobian bends those that follow along with them; the
    identity pulls the three alone, and what comes out is no chunk of the policy's any more."""
    rows = 20
    start, y = noise(rows), plan(seed=4)

    def draw(exact: bool) -> Tensor:
        hard = Guidance([y] * rows, [D] * rows, horizon=S, exact=exact, schedule=Schedule.ZEROS)
        return sample(hard, start)

    free = unlikely(integrate(gaussian, start, 10))
    assert unlikely(draw(exact=True)) < 2 * free
    assert unlikely(draw(exact=False)) > 10 * free


@pytest.mark.parametrize("exact", [True, False])
def test_the_guided_flow_ends_where_the_closed_form_says(exact: bool) -> None:
    """Each step is affine, x ← M·x + b, so the chunk is an affine function of the noise."""
    steps, y = 10, plan()
    mask = torch.diag(mask_weights(D, H - S, H).double())
    whole, offset = torch.eye(H).double(), torch.zeros(H, A).double()
    for i in range(steps):
        time = 1.0 - i / steps
        k, eye = gain(time), torch.eye(H).double()
        constant = (eye - (1.0 - time) * k) @ MEAN[:, None].expand(H, A)  # Â = K·x + constant
        pull = guidance_weight(time) * (k.T if exact else eye) @ mask
        m = eye - ((eye - k) / time + pull @ k) / steps
        b = (constant / time + pull @ (y - constant)) / steps
        whole, offset = m @ whole, m @ offset + b
    found = sample(Guidance([y], [D], horizon=S, exact=exact), noise(), steps)
    torch.testing.assert_close(found[0], whole @ noise()[0] + offset, atol=1e-6, rtol=1e-6)


def test_without_delay_the_plan_still_draws_the_chunk() -> None:
    y = plan()
    free = integrate(gaussian, noise(), 10)
    guided = sample(Guidance([y], [0], horizon=S), noise())
    assert (guided[0, 0] - y[0]).abs().mean() < 0.5 * (free[0, 0] - y[0]).abs().mean()


# Plans of all lengths, rows of all kinds --------------------------------------------------------


def test_a_plan_shorter_than_the_delay_counts_as_far_as_it_goes() -> None:
    short = Guidance([plan(2)], [D], horizon=S)
    hard = Guidance([plan()], [2], horizon=H - 2)
    torch.testing.assert_close(sample(short, noise()), sample(hard, noise()))


def test_a_plan_longer_than_the_chunk_is_cut() -> None:
    long = torch.cat([plan(), plan(seed=5)])
    a, b = Guidance([long], [D], horizon=S), Guidance([plan()], [D], horizon=S)
    torch.testing.assert_close(sample(a, noise()), sample(b, noise()))


def test_what_is_carried_out_anyway_counts_even_beyond_the_horizon() -> None:
    late = Guidance([plan()], [H - 1], horizon=S)
    hard = Guidance([plan()], [H - 1], horizon=1)
    torch.testing.assert_close(sample(late, noise()), sample(hard, noise()))


@pytest.mark.parametrize("exact", [True, False])
def test_rows_are_independent(exact: bool) -> None:
    plans = [plan(), None, plan(5, seed=2), plan(0)]
    delays = [D, 0, 1, 4]
    start = noise(rows=4, seed=3)
    together = sample(Guidance(plans, delays, horizon=S, exact=exact), start)
    for row in range(4):
        alone = Guidance([plans[row]], [delays[row]], horizon=S, exact=exact)
        torch.testing.assert_close(together[row : row + 1], sample(alone, start[row : row + 1]))


@pytest.mark.parametrize("exact", [True, False])
def test_a_row_without_a_plan_keeps_its_velocity_to_the_last_bit(exact: bool) -> None:
    x = noise(rows=2)
    guidance = Guidance([None, plan()], [2, 2], horizon=S, exact=exact)
    found = guidance.velocity(lambda z: gaussian(z, 0.5), x, 0.5)
    assert torch.equal(found[0], gaussian(x, 0.5)[0])
    assert not torch.equal(found[1], gaussian(x, 0.5)[1])


def test_padded_action_dimensions_are_free() -> None:
    """A policy computes more dimensions than the robot has: nothing is known of those."""
    narrow = plan()[:, :1]
    x = noise()
    guided = Guidance([narrow], [D], horizon=S).velocity(lambda z: gaussian(z, 0.5), x, 0.5)
    assert torch.equal(guided[..., 1], gaussian(x, 0.5)[..., 1])
    assert not torch.equal(guided[..., 0], gaussian(x, 0.5)[..., 0])


# Refusals ---------------------------------------------------------------------------------------


def test_exact_guidance_refuses_what_torch_cannot_differentiate() -> None:
    x = noise()
    with pytest.raises(ModelError, match="can differentiate"):
        Guidance([plan()], [D], horizon=S).velocity(lambda z: z.detach() * 2, x, 0.5)
    with torch.inference_mode(), pytest.raises(ModelError, match=r"torch\.no_grad"):
        Guidance([plan()], [D], horizon=S).velocity(lambda z: z * 2, x, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"plans": [plan()], "frozen": [1, 2], "horizon": S}, "1 plans for 2"),
        ({"plans": [plan()], "frozen": [-1], "horizon": S}, "frozen=-1"),
        ({"plans": [plan()], "frozen": [1], "horizon": -1}, "horizon=-1"),
        ({"plans": [plan()], "frozen": [1], "horizon": S, "max_weight": 0.0}, "max_weight"),
        ({"plans": [plan()] * 2, "frozen": [1] * 2, "horizon": S}, "batch of 1"),
        ({"plans": [torch.zeros(H, A + 1)], "frozen": [1], "horizon": S}, "of 3 actions"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        sample(Guidance(**arguments), noise())  # type: ignore[arg-type]
