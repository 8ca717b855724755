"""What of a policy a fleet trains: the tensors, what they start from, and what they make of it.

The only place that knows that there are two kinds: :mod:`agent.training`, the server's base and the
releases ask here. :mod:`agent.policy.parts` is imported where it is needed: it brings LeRobot's
policies, which take seconds, and a ServerApp starts without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from agent.federation.payload import codec, lora
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.store import WEIGHTS
from robots.errors import ModelError


def prepare(policy: nn.Module, trains: TrainsConfig) -> None:
    """Make what the fleet trains all that requires gradients, so that ``weights.trainable`` and
    ``weights.apply`` mean it.

    Raises:
        ModelError: the policy has nothing to train in this way.
    """
    if trains.kind == "lora":
        lora.inject(policy, trains)


def starts(folder: Path, trains: TrainsConfig) -> dict[str, Tensor]:
    """The tensors that a fleet's first round starts from, fp32.

    Args:
        folder: The base policy's.

    Raises:
        ModelError: it can't be read, or has nothing to train in this way.
    """
    from agent.policy.parts import trainable_names, without_weights

    if trains.kind == "lora":
        return lora.zeros(without_weights(folder), trains)
    names = trainable_names(folder)
    if not names:
        raise ModelError("the policy trains nothing", field="policy", value=folder)
    return {name: t.float() for name, t in weights.load(folder / WEIGHTS, sorted(names)).items()}


def base_digest(folder: Path, trains: TrainsConfig) -> str:
    """``Order.base_digest`` of a base policy's folder.

    Raises:
        ModelError: it can't be read.
    """
    from agent.policy.parts import trainable_names

    return trains.base_digest(*weights.file_digest_parts(folder / WEIGHTS, trainable_names(folder)))


def policy_tensors(
    folder: Path, tensors: Mapping[str, Tensor], trains: TrainsConfig
) -> dict[str, Tensor]:
    """The tensors of a plain policy that learned ones stand for: what ``agent.policy.merge`` puts
    in the place of the base policy's own.

    Args:
        folder: The base policy's.
        tensors: What the fleet learned.

    Raises:
        ModelError: they aren't this fleet's, or the base can't be read.
    """
    if trains.kind == "full":
        return dict(tensors)
    from agent.policy.parts import without_weights

    weights.check(tensors, lora.zeros(without_weights(folder), trains))
    return dict(lora.merged(_base(folder), dict(tensors), trains))


def length(folder: Path, start: Mapping[str, Tensor], trains: TrainsConfig) -> float:
    """What the length of an update is measured by: the length of the weights that it changes.

    Args:
        folder: The base policy's.
        start: What training started from. Adapters start from zeros; what they change is in the
            base policy.

    Raises:
        ModelError: the base can't be read.
    """
    if trains.kind == "full":
        return codec.length(start)
    return lora.length(_base(folder), start, trains)


def _base(folder: Path) -> Callable[[str], Tensor]:
    """Reads one tensor of a policy at a time."""

    def read(name: str) -> Tensor:
        return weights.load(folder / WEIGHTS, [name])[name]

    return read
