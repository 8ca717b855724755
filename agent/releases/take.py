"""A model becomes current, by the gate or by the owner's hand; a release is on probation then."""

from __future__ import annotations

import time

from agent.policy.store import ModelStore, StoredModel
from agent.releases.ledger import ReleaseLedger
from agent.releases.origin import release_of
from agent.releases.probation import Order, Progress
from agent.training.home import Home


def take(home: Home, model: StoredModel, *, reason: str) -> StoredModel:
    """Make a model current.

    What is rolled back to is the last model that was no longer on probation: of two releases that
    follow one another quickly, neither is what the other falls back to before it was kept.

    Args:
        home: The robot's state and settings.
        model: Of its store.
        reason: Why, for the history.

    Raises:
        ModelError: the model is damaged.
    """
    store = ModelStore(home.state.models)
    with store.alone():
        return _take(store, home, model, reason)


def take_after(
    home: Home, model: StoredModel, compared: StoredModel | None, *, reason: str
) -> bool:
    """Make a model current by the gate, which took its time.

    Args:
        home: The robot's state and settings.
        model: Of its store.
        compared: What was current when the gate began.
        reason: Why, for the history.

    Returns:
        Whether it was done; it isn't if something else is current by now.

    Raises:
        PinnedError: the robot was pinned meanwhile.
        ModelError: the model is damaged.
    """
    store = ModelStore(home.state.models)
    with ReleaseLedger(home.state.release_ledger).unpinned(), store.alone():
        if store.current != compared:
            return False
        _take(store, home, model, reason)
        return True


def _take(store: ModelStore, home: Home, model: StoredModel, reason: str) -> StoredModel:
    current, back = store.current, _proven(store, home)
    known = {m.digest for m in (current, back) if m is not None}
    if back is None or model.digest in known or not home.releases.probation_s:
        return store.promote(model, reason=reason)
    if version := release_of(model):
        # First its probation: no crash in between lets it drive unwatched.
        order = Order(digest=model.digest, version=version, previous=back.digest, since=time.time())
        order.write(home.state.probation)
    return store.promote(model, reason=reason, previous=back)


def _proven(store: ModelStore, home: Home) -> StoredModel | None:
    """What is current, or while that is on probation itself, the model before it."""
    current, previous = store.current, store.previous
    order = Order.read(home.state.probation)
    if current is None or previous is None or order is None:
        return current
    # Not by the order's own digest: a crash may have come between it and the model's turn.
    on_probation = order.previous == previous.digest
    ended = Progress.read(home.state.probation_progress, order).ended
    return previous if on_probation and not ended else current
