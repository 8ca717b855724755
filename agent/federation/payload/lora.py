"""Low-rank adapters of which every robot draws the same half: FFA-LoRA, arXiv:2403.12313.

A linear layer of weight W computes with W + alpha/rank · B·A. A is drawn from a seed and the
layer's name, is the same on every host and frozen; B begins at zero and is all that a robot trains
and sends. The weighted mean of the robots' B is then exactly the adapter whose B·A is the mean of
theirs, which the means of A and of B apart would not be.

Adapted are the linear layers that the policy itself trains, its small projections too (SmolVLA: 117
layers of the expert). What it trains besides, gains of normalisation and biases, stays as it is:
27 thousand of 99.9 million numbers.

PEFT computes the layers. It is used in place (``inject_adapter_in_model``): LeRobot's
``wrap_with_peft`` would adapt fewer layers of SmolVLA, trains A, and gives back another class under
which every tensor has another name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from agent.federation.payload.spec import TrainsConfig
from robots.errors import ModelError

_ADAPTER = "fleet"
_FACTOR_A = f".lora_A.{_ADAPTER}.weight"
_FACTOR_B = f".lora_B.{_ADAPTER}.weight"


def inject(policy: nn.Module, trains: TrainsConfig) -> None:
    """Give a policy adapters; from then on their factors B are all that requires gradients.

    Raises:
        ModelError: the policy trains no linear layers.
    """
    # Here and not above: it takes a second that only a fleet of adapters needs to spend.
    from peft import LoraConfig, inject_adapter_in_model

    layers = _layers(policy)
    config = LoraConfig(
        r=trains.rank,
        # Any number will do: it is divided by the rank.
        lora_alpha=trains.alpha,  # type: ignore[arg-type]
        target_modules=sorted(layers),
        lora_dropout=0.0,
        bias="none",
        # B is zero with it; what it draws for A is replaced below.
        init_lora_weights=True,
    )
    inject_adapter_in_model(config, policy, adapter_name=_ADAPTER)
    found = set()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            parameter.requires_grad_(name.endswith(_FACTOR_B))
            if name.endswith(_FACTOR_A):
                layer = name.removesuffix(_FACTOR_A)
                parameter.copy_(factor_a(layer, trains, parameter.shape[1]))
                found.add(layer)
    if found != layers.keys():
        raise ModelError(
            "PEFT adapted other layers than those that the policy trains",
            field="--trains.kind",
            value=trains.kind,
        )


def zeros(policy: nn.Module, trains: TrainsConfig) -> dict[str, Tensor]:
    """The factors B of a policy that has not learned yet, by the names that they have in it.

    Args:
        policy: As LeRobot builds it; its weights aren't read.
        trains: Which adapters.

    Raises:
        ModelError: the policy trains no linear layers.
    """
    return {
        layer + _FACTOR_B: torch.zeros(module.out_features, trains.rank)
        for layer, module in sorted(_layers(policy).items())
    }


def factor_a(layer: str, trains: TrainsConfig, in_features: int) -> Tensor:
    """The factor A of a layer, (rank, in_features) fp32: uniform within ±1/√in_features, as PEFT
    draws it.

    Not with a generator of PyTorch, whose numbers differ between processors: these are bits of
    Philox, which NumPy promises to keep, and arithmetic that IEEE 754 makes the same everywhere.
    """
    key = hashlib.sha256(f"{trains.seed} {layer}".encode()).digest()[:16]
    bits = np.random.Philox(key=np.frombuffer(key, "<u8")).random_raw(trains.rank * in_features)
    # 24 bits, as many as fp32 holds: from -1 to below 1, exactly.
    unit = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    drawn = unit * np.float32(1 / math.sqrt(in_features))
    return torch.from_numpy(drawn.reshape(trains.rank, in_features))


def merged(
    base: Callable[[str], Tensor], adapters: dict[str, Tensor], trains: TrainsConfig
) -> Iterator[tuple[str, Tensor]]:
    """The weights that a policy has with its adapters worked in, name by name, fp32.

    Bit for bit the same on every host: products of two fp32 numbers are exact in fp64, they are
    summed in the order of the rank, and no library multiplies the matrices in an order of its own.

    Args:
        base: Gives the base policy's tensor of a name.
        adapters: Factors B that :func:`zeros` has the names and shapes of.
        trains: Of the fleet.
    """
    for name in sorted(adapters):
        layer = name.removesuffix(_FACTOR_B)
        weight = base(f"{layer}.weight").to(torch.float64)
        a = factor_a(layer, trains, weight.shape[1]).to(torch.float64)
        b = adapters[name].to(torch.float64)
        total = torch.zeros_like(weight)
        for k in range(trains.rank):
            total.addcmul_(b[:, k, None], a[None, k])
        total.mul_(trains.alpha / trains.rank)
        yield f"{layer}.weight", total.add_(weight).to(torch.float32)


def length(base: Callable[[str], Tensor], adapters: Iterable[str], trains: TrainsConfig) -> float:
    """L2 norm of the weights that adapters are of, in units of B.

    A row of A is 1/√3 long and nearly at right angles to the others, so that alpha/rank · B·A is
    alpha/rank/√3 times as long as B: an update of so many parts of this length changes the policy's
    weights by as many parts of theirs.

    Args:
        base: Gives the base policy's tensor of a name.
        adapters: Names of the factors B.
        trains: Of the fleet.
    """
    squares = 0.0
    for name in sorted(adapters):
        weight = base(f"{name.removesuffix(_FACTOR_B)}.weight")
        squares += float(torch.linalg.vector_norm(weight, dtype=torch.float64)) ** 2
    return math.sqrt(3 * squares) * trains.rank / trains.alpha


def _layers(policy: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers that the policy trains, by name.

    Raises:
        ModelError: there is none.
    """
    layers = {
        name: module
        for name, module in policy.named_modules()
        # Not its subclasses: attention in one piece uses the weights of its own without asking.
        if type(module) is nn.Linear and module.weight.requires_grad
    }
    if not layers:
        raise ModelError("the policy trains no linear layers", field="--trains.kind", value="lora")
    return layers
