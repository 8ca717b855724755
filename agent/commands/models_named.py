"""A robot's models by the names that people use, and how they are told of."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.releases.origin import release_of
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.policy.store import ModelStore, StoredModel


def named(store: ModelStore, name: str) -> StoredModel:
    """A model by pointer, by the number of the release that it is, or by its digest's beginning.

    Raises:
        ModelError: there is none.
        ConfigError: nothing points there.
    """
    pointers = {
        "current": lambda: store.current,
        "previous": lambda: store.previous,
        "candidate": lambda: store.pending,
        "base": lambda: store.base,
    }
    if name in pointers:
        model = pointers[name]()
        if model is None:
            raise ConfigError(f"there is no {name} model", field="models", value=store.root)
        return model
    if name.isdigit() and int(name):
        for model in store.list():
            if release_of(model) == int(name):
                return model
    return store.find(name)


def roles(store: ModelStore) -> dict[Path, str]:
    """The pointers that point to each model; ``base`` only where there is no better word."""
    pointers = (
        ("base", store.base),
        ("candidate", store.pending),
        ("previous", store.previous),
        ("current", store.current),
    )
    return {model.path: role for role, model in pointers if model is not None}


def origin(model: StoredModel) -> str:
    """Where it came from, in few words."""
    if isinstance(model.origin, str):
        return model.origin
    version = release_of(model)
    if version:
        return f"release {version}"
    return "the fleet's base" if "release" in model.origin else json.dumps(model.origin)


def say(as_json: bool, what: str, model: StoredModel) -> int:
    """Print what was done with a model; the exit status."""
    from rich.console import Console

    if as_json:
        Console().print_json(json.dumps(model.to_json()))
    else:
        Console().print(f"{what}: {model.short} ({origin(model)})", soft_wrap=True, markup=False)
    return 0


def clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
