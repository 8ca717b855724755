"""Which engine: ``--inference.engine`` and ``--inference.precision``.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from robots.errors import ConfigError

_PRECISIONS_OF = {
    "auto": ("exact", "bf16", "8bit"),
    "torch": ("exact",),
    "smolvla-torch": ("exact", "bf16"),
    "smolvla-compiled": ("exact", "bf16"),
    "onnx": ("exact", "8bit"),
}

ENGINES = tuple(_PRECISIONS_OF)
PRECISIONS = _PRECISIONS_OF["auto"]


@dataclass(kw_only=True)
class EngineConfig:
    """Fields of ``--inference.…``.

    Raises:
        ConfigError: no such engine, or it doesn't compute in this precision.
    """

    # What computes the policy's chunks: auto takes the fastest that is exact here; torch is any
    # policy as LeRobot computes it; smolvla-torch, smolvla-compiled (torch.compile, on CUDA its
    # graphs) and onnx know SmolVLA (docs/engines.md).
    engine: str = "auto"
    # exact, or what costs accuracy: bf16, 8bit. `armada evaluate --compare=true` says how much.
    precision: str = "exact"

    def __post_init__(self) -> None:
        check_choice(self.engine, self.precision)


def check_choice(engine: str, precision: str) -> None:
    """Whether there is such an engine, and whether it computes so.

    Raises:
        ConfigError: there isn't, or it doesn't.
    """
    for field, value, choices in (
        ("engine", engine, ENGINES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in choices:
            raise ConfigError(
                "there is no such choice",
                field=f"--inference.{field}",
                value=value,
                remedy=f"Choose one of {', '.join(choices)}",
            )
    if precision not in _PRECISIONS_OF[engine]:
        able = [name for name, known in _PRECISIONS_OF.items() if precision in known]
        raise ConfigError(
            f"the engine {engine} doesn't compute so",
            field="--inference.precision",
            value=precision,
            remedy=f"Choose one of the engines {', '.join(able)}",
        )
