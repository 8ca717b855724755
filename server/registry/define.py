"""A release as its parent and a rounded change, so that robots need fetch no more than the change.

What a round makes is rounded to the encoding in which its updates travelled: int8 is a quarter of
fp32. What rounding loses is kept and added to what the next round makes (error feedback,
Karimireddy et al., arXiv:1901.09847): over the rounds nothing is lost, and every release is exactly
what its manifest's digest says, on the server and on every robot.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from agent.federation.payload import codec
from agent.releases import delta


class Residual:
    """What the releases before lost by rounding, by tensor: the codec's feedback.

    Args:
        before: Of the release before; empty: nothing.
    """

    def __init__(self, before: Mapping[str, Tensor]) -> None:
        self._before = before
        self.left: dict[str, Tensor] = {}

    def before(self, name: str) -> Tensor | None:
        return self._before.get(name)

    def after(self, name: str, residual: Tensor) -> None:
        self.left[name] = residual


def define(
    parent: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    encoding: str,
    residual: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """What is released for what a round made.

    Args:
        parent: The trained tensors of the release before, fp32.
        tensors: What the round made of them, fp32.
        encoding: How the round's updates travelled. With fp32 nothing is rounded.
        residual: What the releases before lost.

    Returns:
        The tensors to release; the wire tensors that lead there from the parent (with fp32: empty);
        what is lost this time.

    Raises:
        ModelError: the tensors aren't like the parent, aren't finite, or change by more than the
            encoding holds.
    """
    feedback = Residual(residual)
    wire = codec.encode(tensors, parent, encoding, feedback)
    if encoding == "fp32":
        return wire, {}, {}
    return delta.apply(parent, wire, encoding), wire, feedback.left
