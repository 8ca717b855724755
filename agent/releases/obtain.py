"""The trained tensors of a release, by the way that costs the fewest bytes.

A robot that holds an earlier release needs only what changed since, release by release; one that
was away for long, or holds nothing of the fleet's, needs the whole file. What decides is what is
still to come, with what earlier attempts left counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from agent.fleet import UnreachableError
from agent.policy import weights
from agent.policy.store import WEIGHTS, ModelStore
from agent.releases import delta
from agent.releases.manifest import BASE, TRAINABLE, Delta, Manifest
from agent.releases.transfer import Emit, Transfer
from robots.errors import FederationError, ModelError

Ask = Callable[[int], Manifest]


@dataclass(frozen=True)
class Step:
    """One delta on the way.

    Args:
        manifest: Of the release that it leads to.
        delta: The manifest's.
    """

    manifest: Manifest
    delta: Delta


def held(store: ModelStore) -> dict[str, Path]:
    """Files of a robot's models that hold trained tensors, by their digest."""
    files = {}
    for model in reversed(store.list()):
        adapters = model.path / TRAINABLE
        if isinstance(model.origin, dict) and adapters.is_file():
            files[str(model.origin.get("trainable_digest"))] = adapters
        else:
            files[model.trainable_digest] = model.path / WEIGHTS
    return files


def obtain(
    transfer: Transfer, manifest: Manifest, ask: Ask, at_hand: Mapping[str, Path], emit: Emit
) -> dict[str, Tensor]:
    """The trained tensors of a release, fp32, as its manifest says.

    Args:
        transfer: Fetches.
        manifest: Of the release.
        ask: For the manifest of another one.
        at_hand: Files that hold trained tensors, by their digest.
        emit: Where events go.

    Raises:
        UnreachableError: the connection was cut; what came is kept.
        FederationError: the server hasn't got what it announced.
        ModelError: what came isn't what the manifest says.
    """
    if steps := route(transfer, manifest, ask, at_hand):
        # Unless it turns out that what the robot holds isn't what it was.
        reason = "led to other tensors"
        tensors: dict[str, Tensor] = {}
        try:
            tensors = _by_deltas(transfer, steps, at_hand)
        except UnreachableError:
            raise
        except (FederationError, ModelError) as error:
            # The server doesn't keep it any more, it came damaged, or what the robot holds can't
            # be read.
            reason = str(error)
        for step in steps:
            transfer.drop(step.manifest, step.delta.file)
        if tensors and weights.digest(tensors) == manifest.trainable_digest:
            return tensors
        # The whole file depends on nothing that the robot holds.
        emit("release_delta_unfit", version=manifest.version, reason=reason)
    path = transfer.fetch(manifest, TRAINABLE)
    tensors = weights.load(path)
    found = weights.digest(tensors)
    path.unlink()
    if found != manifest.trainable_digest:
        raise ModelError("isn't the manifest's", field="trainable digest", value=found)
    return tensors


def route(
    transfer: Transfer, manifest: Manifest, ask: Ask, at_hand: Mapping[str, Path]
) -> list[Step]:
    """The deltas that lead to a release, oldest first; none if the whole file is cheaper, or if no
    chain ends at what the robot has."""
    steps: list[Step] = []
    cost, whole = 0, transfer.missing(manifest, TRAINABLE)
    while manifest.delta is not None:
        cost += transfer.missing(manifest, manifest.delta.file)
        if cost >= whole:
            break
        steps.append(Step(manifest, manifest.delta))
        if manifest.delta.from_digest in at_hand:
            return steps[::-1]
        if manifest.delta.from_version == BASE:
            break
        manifest = ask(manifest.delta.from_version)
        if manifest.trainable_digest != steps[-1].delta.from_digest:
            break
    return []


def _by_deltas(
    transfer: Transfer, steps: list[Step], at_hand: Mapping[str, Path]
) -> dict[str, Tensor]:
    files = [transfer.fetch(step.manifest, step.delta.file) for step in steps]
    source = at_hand[steps[0].delta.from_digest]
    tensors: dict[str, Tensor] = {}
    for step, file in zip(steps, files, strict=True):
        change = delta.unpack(file, step.delta.unpacked)
        if not tensors:
            tensors = {
                name: tensor.float()
                for name, tensor in weights.load(source, delta.names(change)).items()
            }
        tensors = delta.apply(tensors, change, step.delta.encoding)
    return tensors
