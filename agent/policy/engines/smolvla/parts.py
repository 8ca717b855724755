"""The three parts of SmolVLA's chunk, and what they hand on: the seam between sampler and runtime.

A chunk is: pictures → *vision* → embeddings; embeddings, language and state → *prefix* → keys and
values; then ``num_steps`` times noisy actions, keys and values → *step* → velocity.

B rows, L tokens of the prefix, N actions, D width of the language model, G key-value heads of H
numbers each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Prefix:
    """What the language model is to read.

    Args:
        embeddings: (B, L, D).
        allowed: (B, L, L) bool: which token may look at which.
        positions: (B, L) of each token, for the rotary embedding.
        present: (B, L) bool: false where a row of the batch has no token.
    """

    embeddings: Tensor
    allowed: Tensor
    positions: Tensor
    present: Tensor


@dataclass(frozen=True)
class Context:
    """What every denoising step of a chunk reads.

    Args:
        keys, values: For each layer (B, G, L, H): of the prefix where the expert looks at prefix
            and actions together, already projected by the expert where it looks at the prefix only.
        present: (B, L) bool.
        first: (B,) position of the first action.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    present: Tensor
    first: Tensor


class Step(Protocol):
    """A denoising step, with all that doesn't change between the steps of one chunk."""

    def __call__(self, x_t: Tensor, time: int) -> Tensor:
        """Velocity (B, N, A) of the noisy actions (B, N, A) at the ``time``-th step."""


class Parts(Protocol):
    """A way to compute them. MUST NOT change its inputs."""

    def vision(self, pixels: Tensor) -> Tensor:
        """(B, 3, height, width) in −1..1 → (B, T, D) embeddings of one camera."""

    def prefix(self, prefix: Prefix) -> Context:
        """Keys and values of the prefix."""

    def step(self, context: Context) -> Step:
        """The denoising step for one chunk."""
