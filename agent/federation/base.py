"""Which of the robot's models has the frozen tensors that an order means; no PyTorch is needed."""

from __future__ import annotations

from agent.federation.wire import OTHER_BASE, Order
from agent.policy.store import ModelStore, StoredModel
from agent.training.home import Home


def stored(home: Home, order: Order) -> StoredModel | None:
    """A model of the robot's with the right frozen tensors (for adapters: all of them); where there
    is one, with the right trainable ones too; None: it has none."""
    models = [
        model
        for model in ModelStore(home.state.models).list()
        if order.trains.base_digest(model.trainable_digest, model.base_digest) == order.base_digest
    ]
    right = [m for m in models if m.trainable_digest == order.start_digest]
    return next(iter(right or models), None)


def cannot_start(home: Home, order: Order) -> str:
    """Why a job can't be begun here; empty: it can, or what it needs can be asked for."""
    if home.server or stored(home, order) is not None:
        return ""
    return (
        f"{OTHER_BASE}: this robot has no policy with the frozen tensors "
        f"{order.base_digest[:19]}… and no --federation.server to fetch it from"
    )
