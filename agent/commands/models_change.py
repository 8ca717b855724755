"""``armada models promote | rollback | export | init``: models that are on this host already."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from agent.commands.models_named import named, say
from robots.errors import ConfigError

_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def promote(argv: list[str]) -> int:
    """Make a model current; a release is on probation then."""
    from agent.commands.models_config import PromoteConfig
    from agent.commands.models_release import home
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore
    from agent.releases.take import take

    config = parse(PromoteConfig, argv, prog="armada models promote", positional=("model",))
    if not config.model:
        raise ConfigError("is missing", field="model", remedy="`armada models list` shows them")
    model = named(ModelStore(config.state.models), config.model)
    return say(config.json, "current", take(home(config), model, reason=config.reason))


def rollback(argv: list[str]) -> int:
    """Make the model before current again."""
    from agent.commands.models_config import RollbackConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore

    config = parse(RollbackConfig, argv, prog="armada models rollback")
    model = ModelStore(config.state.models).rollback(reason=config.reason)
    return say(config.json, "current", model)


def export(argv: list[str]) -> int:
    """Copy a model, or a release of the server, into a plain LeRobot folder."""
    from rich.console import Console

    from agent.commands.models_config import ExportConfig
    from agent.commands.models_release import puller
    from agent.commands.parsing import parse
    from agent.policy.merge import copy_policy
    from agent.policy.store import ModelStore

    config = parse(ExportConfig, argv, prog="armada models export", positional=("out",))
    out = _new_folder(config.out)
    if config.release:
        with puller(config) as pulls:
            manifest = pulls.export(config.release, out)
        text = f"exported to {out}: release {manifest.version}"
        Console().print(text, soft_wrap=True, markup=False)
        return 0
    store = ModelStore(config.state.models)
    model = named(store, config.model)
    store.verify(model)
    copy_policy(model.path, out)
    return say(config.json, f"exported to {out}", model)


def init(argv: list[str]) -> int:
    """Build a SmolVLA with random weights."""
    from rich.console import Console

    from agent.commands.models_config import InitConfig
    from agent.commands.parsing import parse
    from agent.policy.init import build_policy

    config = parse(InitConfig, argv, prog="armada models init", positional=("out",))
    out = _new_folder(config.out)
    if config.size not in ("tiny", "full"):
        raise ConfigError("must be tiny or full", field="--size", value=config.size)
    about = _features_of(config.dataset) if config.dataset else _features(config.cameras)
    build_policy(out, size="full" if config.size == "full" else "tiny", seed=config.seed, **about)
    Console().print(f"built a {config.size} SmolVLA with random weights in {out}", soft_wrap=True)
    return 0


def _features(cameras: dict[str, list[int]]) -> dict[str, Any]:
    sizes = {}
    for key, size in cameras.items():
        if len(size) != 2 or min(size) < 1:
            raise ConfigError("must be [height, width]", field=f"--cameras.{key}", value=size)
        sizes[key] = (size[0], size[1])
    return {"cameras": sizes, "action_names": [f"{joint}.pos" for joint in _JOINTS]}


def _features_of(dataset: str) -> dict[str, Any]:
    from agent.data.open import open_dataset
    from agent.policy.evaluate import dataset_layout

    # LeRobot warns at length of video decoders that it doesn't use.
    logging.getLogger().setLevel(logging.ERROR)
    recording = open_dataset(dataset)
    layout = dataset_layout(recording)
    return {
        "cameras": {image.key: (image.height, image.width) for image in layout.images},
        "action_names": layout.action_names,
        "state_names": layout.state_names,
        "stats": recording.meta.stats,
    }


def _new_folder(out: str) -> Path:
    if not out:
        raise ConfigError("is missing", field="--out", remedy="Name the folder to make")
    path = Path(out)
    if path.exists():
        raise ConfigError("exists already", field="--out", value=out)
    return path
