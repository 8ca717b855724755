"""What a job starts from: found among the robot's models, or fetched from the fleet's server.

A robot has most of it already: the base policy that its owner gave it or its fleet starts from, and
the release that it runs. What it lacks is fetched as releases are (signed, resumably, by what
changed where that is less), and must have the digest that was ordered.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from agent.federation.base import stored
from agent.federation.jobs.job import Job
from agent.federation.payload import trained
from agent.federation.wire import Order
from agent.fleet import FleetClient
from agent.policy import weights
from agent.policy.store import ModelStore
from agent.releases.manifest import BASE
from agent.releases.obtain import held, obtain
from agent.releases.pull import Puller
from agent.releases.signature import configured_keys
from agent.releases.signed import SignedManifests
from agent.releases.transfer import Transfer
from agent.releases.trust import TrustedKeys
from agent.training.home import Home
from robots.errors import FederationError, ModelError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training begins.

    Args:
        policy: A policy folder with the fleet's frozen tensors.
        tensors: The trainable tensors, fp32.
    """

    policy: Path
    tensors: dict[str, Tensor]


def find_start(home: Home, job: Job) -> Start:
    """Find it, or fetch what is missing.

    Raises:
        UnreachableError: the server doesn't answer; what came is kept.
        FederationError: it hasn't got what is needed, or none is known.
        ModelError: it isn't what was ordered.
    """
    order = job.order
    model = stored(home, order)
    policy = _fetch_base(home, order) if model is None else model.path
    own = trained.starts(policy, order.trains)
    if weights.digest(own) == order.start_digest:
        return Start(policy=policy, tensors=own)
    if not job.start.is_file():
        weights.save(job.start, _at_hand(home, order, set(own)) or _fetch_weights(home, job, order))
    return Start(policy=policy, tensors=weights.load(job.start))


def _at_hand(home: Home, order: Order, names: set[str]) -> dict[str, Tensor] | None:
    """The weights from a model of the robot's; None: it has none of that digest, any more."""
    file = held(ModelStore(home.state.models)).get(order.start_digest)
    if file is None:
        return None
    tensors = {name: tensor.float() for name, tensor in weights.load(file, names).items()}
    return tensors if weights.digest(tensors) == order.start_digest else None


# Fetching -----------------------------------------------------------------------------------


def _fetch_base(home: Home, order: Order) -> Path:
    with _client(home, "the fleet's base policy") as client:
        model = Puller(client, home, _tell, keys=configured_keys(home.release_key)).pull_base()
    found = order.trains.base_digest(model.trainable_digest, model.base_digest)
    if found != order.base_digest:
        raise ModelError(
            f"the server's base isn't what was ordered ({order.base_digest[:19]}…)",
            field="base digest",
            value=found[:19],
        )
    return model.path


def _fetch_weights(home: Home, job: Job, order: Order) -> dict[str, Tensor]:
    with _client(home, "the weights to start from") as client:
        trusted = TrustedKeys(home.state.release_keys, configured_keys(home.release_key))
        manifests = SignedManifests(client, trusted, _tell)
        version = order.start_version
        manifest = manifests.base() if version == BASE else manifests.release(version)[0]
        if manifest.trainable_digest != order.start_digest:
            raise ModelError(
                f"release {version} isn't what was ordered ({order.start_digest[:19]}…)",
                field="start digest",
                value=manifest.trainable_digest[:19],
            )
        return obtain(
            Transfer(client, job.folder, _tell),
            manifest,
            lambda earlier: manifests.release(earlier)[0],
            held(ModelStore(home.state.models)),
            _tell,
        )


@contextlib.contextmanager
def _client(home: Home, what: str) -> Iterator[FleetClient]:
    if not home.server:
        raise FederationError(
            f"this robot lacks {what} and knows no server to fetch it from",
            remedy="Give --federation.server",
        )
    with FleetClient(home.server, home.root_certificates, token=home.token()) as client:
        yield client


def _tell(kind: str, **data: Any) -> None:
    logger.info("%s: %s", kind, data)
