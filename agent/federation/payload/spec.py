"""Which tensors a fleet trains, and how they travel.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import hashlib
from dataclasses import dataclass

from robots.errors import ConfigError

ENCODINGS = ("fp32", "bf16", "fp16", "int8")
"""``fp32`` carries the tensors themselves, as plain Flower strategies expect them; the others carry
what training changed, rounded."""

KINDS = ("full", "lora")


@dataclass(frozen=True, kw_only=True)
class TrainsConfig:
    """Which tensors a fleet trains; one choice for the life of a server's state.

    With ``lora`` the fleet trains the factors B of low-rank adapters whose factors A every robot
    draws from the same seed and leaves alone: the average of B·A is then exactly the average of B
    times A (FFA-LoRA, arXiv:2403.12313), where averaging A and B apart would not be.

    Raises:
        ConfigError: a value beyond its bounds.
    """

    # full: what the policy itself trains (SmolVLA: its action expert); lora: adapters of it.
    kind: str = "full"
    # Rank of the adapters.
    rank: int = 16
    # Their scale is alpha / rank.
    alpha: float = 16.0
    # Draws the factors A.
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                "isn't known",
                field="--trains.kind",
                value=self.kind,
                remedy=f"One of: {', '.join(KINDS)}",
            )
        for name, low, high in (("rank", 1, 512), ("alpha", 1e-3, 1e4), ("seed", 0, 2**31 - 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"must be from {low:g} to {high:g}", field=f"--trains.{name}", value=value
                )

    def base_digest(self, trainable: str, frozen: str) -> str:
        """What identifies the base policy of a fleet that trains so.

        Args:
            trainable, frozen: Digests of the two parts of the policy as LeRobot builds it, as
                ``StoredModel`` and ``weights.file_digest_parts`` know them.

        Returns:
            ``full``: that of the frozen part; the other one is trained. ``lora``: one of both, for
            adapters leave all of the policy alone.
        """
        if self.kind == "full":
            return frozen
        return f"sha256:{hashlib.sha256(f'{trainable} {frozen}'.encode()).hexdigest()}"
