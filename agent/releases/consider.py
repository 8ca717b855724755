"""A candidate on this robot's own episodes: measured, judged, and what follows from it done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.data.open import open_info
from agent.data.usable import Usable, usable
from agent.policy.compare import compare
from agent.policy.evaluate import open_loop_error
from agent.policy.load import LoadedPolicy, set_threads
from agent.policy.store import ModelStore, StoredModel
from agent.releases.gate import Action, action, judge
from agent.releases.origin import pooled_of, release_of
from agent.releases.outcome import LATER, OFFERED, REFUSED, TAKEN, WAITS
from agent.releases.take import take_after
from agent.releases.transfer import Emit
from agent.training.home import Home
from agent.training.processors import load_with_own_processors, own_stats


def consider(
    home: Home, candidate: StoredModel, emit: Emit, alive: Callable[[], None] = lambda: None
) -> int:
    """Compare the candidate with what is current, and take it, refuse it, or leave it waiting.

    Both are measured on the same held-out episodes with the same noise. What is taken is on
    probation from then on.

    Args:
        home: The robot's state, episodes and settings.
        candidate: A model of its store.
        emit: Where the decision goes, with its numbers.
        alive: Called after each episode, for whoever wonders whether this hangs.

    Returns:
        One of :mod:`agent.releases.outcome`.

    Raises:
        ModelError: one of the two doesn't load or doesn't act in finite numbers, or the robot has
            another normaliser than the one that the candidate was trained with.
        PinnedError: the robot was pinned meanwhile.
        DataError: the robot's episodes can't be read.
    """
    current = ModelStore(home.state.models).current
    about: dict[str, Any] = {"version": release_of(candidate), "digest": candidate.digest}
    if current is not None and current.digest == candidate.digest:
        emit("release_current", reason="it is what this robot runs", **about)
        return TAKEN
    if current is not None and (most := home.releases.max_norm):
        way = compare(current.path, candidate.path).way
        if not way <= most:
            reason = f"it is {way:.3g} of the weights away, --releases.max_norm={most:g}"
            emit("release_refused", reason=reason, norm=way, **about)
            return REFUSED
    if pooled := pooled_of(candidate):
        _load(home, candidate, pooled)
    found = _usable(home)
    heldout = found.split()[1] if current is not None else []
    judgement = judge(
        _errors(home, candidate, heldout, alive),
        _errors(home, current, heldout, alive),
        home.releases,
    )
    about |= {"previous": current and current.digest, **judgement.to_json()}
    if found.left_out:
        about["left_out_episodes"] = found.left_out
    wanted = action(judgement, home.releases)
    if wanted is Action.REFUSE:
        emit("release_refused", reason=judgement.reason, **about)
        return REFUSED
    if wanted is Action.WAIT:
        emit("release_waits", reason=judgement.reason, **about)
        return WAITS
    if not home.releases.auto:
        emit("release_offered", reason=judgement.reason, **about)
        return OFFERED
    reason = f"release {release_of(candidate)}: {judgement.reason}"
    if not take_after(home, candidate, current, reason=reason):
        reason = "another model became current while this one was compared with the one before it"
        emit("release_delayed", reason=reason, **about)
        return LATER
    emit("release_promoted", reason=judgement.reason, **about)
    return TAKEN


def _usable(home: Home) -> Usable:
    """The robot's episodes; without a data set there are none."""
    if not (home.dataset_root / "meta" / "info.json").is_file():
        return Usable(episodes=[])
    return usable(open_info(home.dataset_root), unclean=home.training.unclean)


def _errors(
    home: Home, model: StoredModel | None, heldout: list[int], alive: Callable[[], None]
) -> list[float]:
    """The model's error on each episode, in parts of the joints' ranges."""
    if model is None or not heldout:
        return []
    results = open_loop_error(
        _load(home, model),
        home.dataset_root,
        heldout,
        rename_map=home.rename_map,
        measured=alive,
    )
    return [result.error for result in results]


def _load(home: Home, model: StoredModel, pooled: str = "") -> LoadedPolicy:
    """With the robot's normaliser; from now on that is ``pooled``, if it had none."""
    if home.threads:
        set_threads(home.threads)
    found = _usable(home)
    return load_with_own_processors(
        str(model.path),
        home.state.processors,
        stats=own_stats(home.dataset_root, home.rename_map, episodes=found.part)
        if found.episodes
        else {},
        device=home.device,
        pooled=pooled,
    )
