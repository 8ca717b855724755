"""Which engine computes a policy's chunks."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import shutil
import sys
from typing import TYPE_CHECKING

import torch

from agent.policy.engines.base import Engine
from agent.policy.engines.config import check_choice
from agent.policy.engines.plain import PlainEngine
from robots.errors import ModelError

if TYPE_CHECKING:
    from agent.policy.load import LoadedPolicy

logger = logging.getLogger(__name__)

_COMPILER = "clang++" if sys.platform == "darwin" else "g++"
"""What Inductor calls unless $CXX says otherwise."""


def use_engine(
    loaded: LoadedPolicy, *, name: str = "auto", precision: str = "exact", threads: int = 0
) -> LoadedPolicy:
    """The policy with the engine that was asked for; see ``choose_engine``.

    The runtime of ``onnx`` takes the weights over: ``loaded.policy`` can't be asked directly, nor
    trained or saved, afterwards.
    """
    engine = choose_engine(loaded, name=name, precision=precision, threads=threads)
    return dataclasses.replace(loaded, engine=engine)


def choose_engine(
    loaded: LoadedPolicy, *, name: str = "auto", precision: str = "exact", threads: int = 0
) -> Engine:
    """Make the engine for a policy.

    Args:
        loaded: The policy.
        name: ``auto`` takes the fastest that computes in this precision on the policy's device, and
            says in the log when that isn't the fastest there could be.
        precision: ``exact``, or what else the user accepts.
        threads: 0: as torch has.

    Raises:
        ConfigError: there is no such engine.
        ModelError: this policy, device or installation doesn't have it.
    """
    check_choice(name, precision)
    check_possible(loaded.config.type, name, precision)
    if name == "auto":
        name = _fastest(loaded, precision)
    if name == "torch":
        return loaded.engine if loaded.engine.name == "torch" else PlainEngine(loaded.policy)
    if name == "onnx":
        return _onnx(loaded, precision, threads or torch.get_num_threads())
    return _smolvla_torch(loaded, precision, compiled=name == "smolvla-compiled")


def check_possible(policy_type: str, name: str, precision: str) -> None:
    """Whether such a policy can be computed so on this host; cheap, before anything is loaded.

    Args:
        policy_type: LeRobot's name of it.
        name, precision: As the user chose.

    Raises:
        ModelError: it can't.
    """
    if policy_type != "smolvla" and (name not in ("auto", "torch") or precision != "exact"):
        raise ModelError(
            f"a policy of type {policy_type} is computed by plain torch only",
            field="--inference.engine",
            value=name,
            remedy="Use --inference.engine=torch, and precision=exact",
        )
    if name == "smolvla-compiled" and not _has_compiler():
        raise ModelError(
            "needs a C++ compiler on this host",
            field="--inference.engine",
            value=name,
            remedy="Install one (Debian: apt install g++ python3-dev), or use "
            "--inference.engine=auto",
        )
    missing = _missing()
    if missing and (name == "onnx" or precision == "8bit"):
        raise ModelError(
            f"{missing} isn't installed",
            field="--inference.engine",
            value="onnx",
            remedy="pip install 'armada[fast]'",
        )


def _fastest(loaded: LoadedPolicy, precision: str) -> str:
    if precision == "8bit":
        return "onnx"
    if loaded.config.type != "smolvla":
        return "torch"
    from agent.policy.engines.smolvla.model import SmolVLA

    try:
        SmolVLA(loaded.policy)
    except ModelError as error:
        if precision != "exact":
            raise
        logger.warning("plain torch computes the chunks: %s", error)
        return "torch"
    if loaded.device != "cpu" or precision != "exact":
        return "smolvla-torch"
    if _has_bf16_units():
        logger.info(
            "this processor has bf16 units: --inference.precision=bf16 is faster on it than exact, "
            "at a relative error of 0.3 % (docs/engines.md)"
        )
    missing = _missing()
    if missing:
        logger.warning(
            "torch computes the chunks, a third slower than ONNX Runtime would: %s isn't "
            "installed (pip install 'armada[fast]')",
            missing,
        )
        return "smolvla-torch"
    return "onnx"


def _smolvla_torch(loaded: LoadedPolicy, precision: str, *, compiled: bool) -> Engine:
    from agent.policy.engines.smolvla.compiled_parts import CompiledParts
    from agent.policy.engines.smolvla.model import SmolVLA
    from agent.policy.engines.smolvla.sampler import SmolVLAEngine
    from agent.policy.engines.smolvla.torch_parts import TorchParts

    model = SmolVLA(loaded.policy)
    exact = precision == "exact"
    return SmolVLAEngine(
        model,
        CompiledParts(model) if compiled else TorchParts(model),
        name="smolvla-compiled" if compiled else "smolvla-torch",
        static=compiled,
        # Published weights are bf16, and only a CPU has them made fp32.
        exact=exact and loaded.device == "cpu",
        autocast=None if exact else torch.bfloat16,
    )


def _onnx(loaded: LoadedPolicy, precision: str, threads: int) -> Engine:
    if loaded.device != "cpu":
        raise ModelError(
            "computes on the CPU only",
            field="--inference.engine",
            value="onnx",
            remedy=f"Give --device=cpu, or --inference.engine=smolvla-torch on {loaded.device}",
        )
    from agent.policy.engines.smolvla import linear
    from agent.policy.engines.smolvla.model import SmolVLA
    from agent.policy.engines.smolvla.onnx_parts import OnnxParts
    from agent.policy.engines.smolvla.sampler import SmolVLAEngine

    model = SmolVLA(loaded.policy)
    exact = precision == "exact"
    parts = OnnxParts(model, linear.exact if exact else linear.eight_bit, threads=threads)
    return SmolVLAEngine(
        model,
        parts,
        name="onnx" if exact else "onnx-8bit",
        exact=exact,
        # The runtime finds one scale for all that a product reads, whosever it is.
        independent=exact,
    )


def _has_bf16_units() -> bool:
    """Those of x86; whether others gain by theirs wasn't measured."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def _has_compiler() -> bool:
    return shutil.which(os.environ.get("CXX") or _COMPILER) is not None


def _missing() -> str:
    """The first package of the extra that isn't there."""
    names = ("onnxruntime", "onnx")
    return next((name for name in names if importlib.util.find_spec(name) is None), "")
