"""``armada models …``: what a robot can run, what it runs, and how to change that."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.policy.store import ModelStore, StoredModel

_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs = {
        "list": _list,
        "show": _show,
        "promote": _promote,
        "rollback": _rollback,
        "pull": _pull,
        "export": _export,
        "init": _init,
    }
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada models", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb",
            field="models",
            value=argv[0] if argv else None,
            remedy=f"One of: {', '.join(verbs)}",
        )
    return verbs[argv[0]](argv[1:])


def named(store: ModelStore, name: str) -> StoredModel:
    """A model by pointer or digest.

    Raises:
        ModelError: there is none.
        ConfigError: nothing points there.
    """
    pointers = {
        "current": lambda: store.current,
        "previous": lambda: store.previous,
        "candidate": lambda: store.pending,
    }
    if name not in pointers:
        return store.find(name)
    model = pointers[name]()
    if model is None:
        raise ConfigError(f"there is no {name} model", field="models", value=store.root)
    return model


def _list(argv: list[str]) -> int:
    """List the models and which is candidate, current and previous."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.models_config import StoreConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore

    config = parse(StoreConfig, argv, prog="armada models list")
    store = ModelStore(config.state.models)
    console = Console()
    roles = _roles(store)
    if config.json:
        rows = [m.to_json() | {"role": roles.get(m.path, "")} for m in store.list()]
        console.print_json(json.dumps(rows))
        return 0
    table = Table("model", "role", "added", "origin", "parent", title=str(store.root))
    for model in store.list():
        parent = model.parent.removeprefix("sha256:")[:12] if model.parent else ""
        table.add_row(
            model.short, roles.get(model.path, ""), _clock(model.created), _origin(model), parent
        )
    console.print(table)
    return 0


def _show(argv: list[str]) -> int:
    """Print a model; 1 if its files are not what was added."""
    from rich.console import Console

    from agent.commands.models_config import ShowConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore
    from robots.errors import ModelError

    config = parse(ShowConfig, argv, prog="armada models show", positional=("model",))
    store = ModelStore(config.state.models)
    model = named(store, config.model)
    damage = ""
    try:
        store.verify(model)
    except ModelError as error:
        damage = str(error)
    console = Console()
    events = [e for e in store.history() if e["digest"] == model.digest]
    if config.json:
        about = model.to_json() | {"role": _roles(store).get(model.path, "")}
        console.print_json(json.dumps(about | {"damage": damage or None, "history": events}))
        return int(bool(damage))
    for name, value in (
        ("digest", model.digest),
        ("trainable", model.trainable_digest),
        ("base", model.base_digest),
        ("role", _roles(store).get(model.path, "none")),
        ("origin", _origin(model)),
        ("parent", model.parent or "none"),
        ("folder", model.path),
        ("files", f"{len(model.files)}, {damage or 'as they were added'}"),
    ):
        console.print(f"{name:10} {value}", soft_wrap=True, highlight=False, markup=False)
    for event in events:
        why = event.get("reason") or ""
        console.print(f"{_clock(event['time'])}  {event['event']:10} {why}", markup=False)
    return int(bool(damage))


def _promote(argv: list[str]) -> int:
    """Make a model current."""
    from agent.commands.models_config import PromoteConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore

    config = parse(PromoteConfig, argv, prog="armada models promote", positional=("model",))
    if not config.model:
        raise ConfigError("is missing", field="model", remedy="`armada models list` shows them")
    store = ModelStore(config.state.models)
    model = store.promote(named(store, config.model), reason=config.reason)
    return _say(config.json, "current", model)


def _rollback(argv: list[str]) -> int:
    """Make the model before current again."""
    from agent.commands.models_config import RollbackConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore

    config = parse(RollbackConfig, argv, prog="armada models rollback")
    model = ModelStore(config.state.models).rollback(reason=config.reason)
    return _say(config.json, "current", model)


def _export(argv: list[str]) -> int:
    """Copy a model into a plain LeRobot folder."""
    from agent.commands.models_config import ExportConfig
    from agent.commands.parsing import parse
    from agent.policy.merge import copy_policy
    from agent.policy.store import ModelStore

    config = parse(ExportConfig, argv, prog="armada models export", positional=("out",))
    out = _new_folder(config.out)
    store = ModelStore(config.state.models)
    model = named(store, config.model)
    store.verify(model)
    copy_policy(model.path, out)
    return _say(config.json, f"exported to {out}", model)


def _init(argv: list[str]) -> int:
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


def _pull(argv: list[str]) -> int:
    """Take a release; 1 if it was refused."""
    from rich.console import Console

    from agent.commands.models_config import PullConfig
    from agent.commands.parsing import parse
    from agent.fleet import FleetClient
    from agent.releases.consider import consider
    from agent.releases.outcome import TAKEN
    from agent.releases.pull import Puller
    from agent.training.home import Home

    config = parse(PullConfig, argv, prog="armada models pull", positional=("version",))
    own = _last_run(config.state.config)
    fleet = own.get("federation") or {}
    server = config.server or fleet.get("server")
    if not server:
        raise ConfigError(
            "is missing", field="--server", remedy="Give host:port of the fleet's server"
        )
    dataset = config.dataset or (own.get("dataset") or {}).get("root")
    home = Home.of(
        {
            "name": config.name,
            "state-dir": str(config.state.root),
            "dataset-root": str(dataset or config.state.default_dataset),
        }
    )
    console = Console()

    def emit(kind: str, **data: Any) -> None:
        text = json.dumps({"event": kind, **data}) if config.json else _sentence(kind, data)
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    certificates = config.root_certificates or fleet.get("root_certificates") or ""
    with FleetClient(server, certificates, token=home.token()) as client:
        puller = Puller(client, home, emit)
        return int(consider(home, puller.pull(config.version), emit) != TAKEN)


def _last_run(path: Path) -> dict[str, Any]:
    import yaml

    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def _new_folder(out: str) -> Path:
    if not out:
        raise ConfigError("is missing", field="--out", remedy="Name the folder to make")
    path = Path(out)
    if path.exists():
        raise ConfigError("exists already", field="--out", value=out)
    return path


def _roles(store: ModelStore) -> dict[Path, str]:
    pointers = (
        ("candidate", store.pending),
        ("previous", store.previous),
        ("current", store.current),
    )
    return {model.path: role for role, model in pointers if model is not None}


def _say(as_json: bool, what: str, model: StoredModel) -> int:
    from rich.console import Console

    if as_json:
        Console().print_json(json.dumps(model.to_json()))
    else:
        Console().print(f"{what}: {model.short} ({_origin(model)})", soft_wrap=True, markup=False)
    return 0


def _origin(model: StoredModel) -> str:
    origin = model.origin
    if isinstance(origin, str):
        return origin
    return f"release {origin['release']}" if "release" in origin else json.dumps(origin)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _sentence(kind: str, data: dict[str, Any]) -> str:
    details = ", ".join(f"{key} {value}" for key, value in data.items())
    return f"{kind.removeprefix('release_'):10} {details}"


COMMAND = Command("models", "list, promote, roll back, pull, export or build models", main, 40)
