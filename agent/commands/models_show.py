"""``armada models list | show | diff``: looking changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.commands.models_named import clock, named, origin, roles

if TYPE_CHECKING:
    from rich.console import Console

    from agent.commands.models_config import ListConfig, ShowConfig
    from agent.policy.compare import Comparison


def list_(argv: list[str]) -> int:
    """List the models and which is current; with --server: the fleet's releases."""
    from rich.console import Console
    from rich.table import Table

    from agent.commands.models_config import ListConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore

    config = parse(ListConfig, argv, prog="armada models list")
    console = Console()
    if config.server:
        return _releases(config, console)
    store = ModelStore(config.state.models)
    role = roles(store)
    if config.json:
        rows = [m.to_json() | {"role": role.get(m.path, "")} for m in store.list()]
        console.print_json(json.dumps(rows))
        return 0
    table = Table("model", "role", "added", "origin", "parent", title=str(store.root))
    for model in store.list():
        parent = model.parent.removeprefix("sha256:")[:12] if model.parent else ""
        table.add_row(
            model.short, role.get(model.path, ""), clock(model.created), origin(model), parent
        )
    console.print(table)
    return 0


def _releases(config: ListConfig, console: Console) -> int:
    from rich.table import Table

    from agent.commands.models_release import connect
    from agent.policy.store import ModelStore

    store = ModelStore(config.state.models)
    role = {m.digest: roles(store).get(m.path, "stored") for m in store.list()}
    with connect(config) as client:
        releases = client.releases()
    if config.json:
        fields = ("version", "digest", "time", "round", "samples", "bytes", "delta_bytes")
        rows = [
            {name: getattr(r, name) for name in fields}
            | {"participants": list(r.participants), "here": role.get(r.digest, "")}
            for r in releases
        ]
        console.print_json(json.dumps(rows))
        return 0
    table = Table(
        "release", "made", "round", "robots", "samples", "as", "whole", "delta", "here",
        title=config.server,
    )  # fmt: skip
    for r in releases:
        table.add_row(
            str(r.version), clock(r.time), str(r.round), ", ".join(r.participants),
            str(r.samples), r.encoding, _megabytes(r.bytes) if r.bytes else "pruned",
            _megabytes(r.delta_bytes) if r.delta_bytes else "", role.get(r.digest, ""),
        )  # fmt: skip
    console.print(table)
    if releases and releases[0].version > 1:
        console.print("These are the newest; of an older one: armada models show N --server=…")
    return 0


def show(argv: list[str]) -> int:
    """Print a model; 1 if its files are not what was added. With --server: a release."""
    from rich.console import Console

    from agent.commands.models_config import ShowConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore
    from robots.errors import ModelError

    config = parse(ShowConfig, argv, prog="armada models show", positional=("model",))
    console = Console()
    if config.server:
        return _release(config, console)
    store = ModelStore(config.state.models)
    model = named(store, config.model)
    damage = ""
    try:
        store.verify(model)
    except ModelError as error:
        damage = str(error)
    events = [e for e in store.history() if e["digest"] == model.digest]
    role = roles(store).get(model.path, "")
    if config.json:
        about = model.to_json() | {"role": role}
        console.print_json(json.dumps(about | {"damage": damage or None, "history": events}))
        return int(bool(damage))
    _print(
        console,
        digest=model.digest,
        trainable=model.trainable_digest,
        base=model.base_digest,
        role=role or "none",
        origin=origin(model),
        parent=model.parent or "none",
        folder=model.path,
        files=f"{len(model.files)}, {damage or 'as they were added'}",
    )
    for event in events:
        why = event.get("reason") or ""
        console.print(f"{clock(event['time'])}  {event['event']:10} {why}", markup=False)
    return int(bool(damage))


def _release(config: ShowConfig, console: Console) -> int:
    """A release's manifest and what its signature is worth; 1 if it wouldn't be taken."""
    from agent.commands.models_release import connect, trusted
    from agent.releases.signature import Signature
    from robots.errors import ArmadaError, ConfigError

    if not (config.model.isdigit() or config.model == "current"):
        raise ConfigError("must be a release's number", field="model", value=config.model)
    version = int(config.model) if config.model.isdigit() else 0
    with connect(config) as client:
        answer = client.signed_manifest(version)
    worth, wrong = "", False
    try:
        signature = Signature.parse(answer.signature)
        keys = trusted(config).keys()
        if not signature.covers(answer.json):
            worth, wrong = "WRONG: the manifest or the signature was changed", True
        elif keys and signature.key not in keys:
            worth, wrong = f"right, but {signature.key} is none of this robot's keys", True
        else:
            known = "a key that this robot trusts" if keys else "the first pull will trust this key"
            worth = f"right: {signature.key} ({known})"
    except ArmadaError as error:
        worth, wrong = str(error), True
    if config.json:
        said = {"manifest": json.loads(answer.json), "signature": worth, "refused": wrong}
        console.print_json(json.dumps(said))
        return int(wrong)
    console.print(f"{'signature':10} {worth}", soft_wrap=True, highlight=False, markup=False)
    about: dict[str, Any] = json.loads(answer.json)
    _print(console, **{k: v for k, v in about.items() if k not in ("files", "participants")})
    for participant in about["participants"]:
        console.print(f"{'robot':10} {json.dumps(participant)}", soft_wrap=True, markup=False)
    for name, entry in about["files"].items():
        text = f"{'file':10} {name}  {_megabytes(entry['bytes'])}  {entry['sha256'][:16]}…"
        console.print(text, soft_wrap=True, highlight=False, markup=False)
    return int(wrong)


def diff(argv: list[str]) -> int:
    """Say in what two models differ; 1 if they do."""
    from rich.console import Console

    from agent.commands.models_config import DiffConfig
    from agent.commands.parsing import parse
    from agent.policy.compare import compare
    from agent.policy.store import ModelStore

    config = parse(DiffConfig, argv, prog="armada models diff", positional=("one", "other"))
    store = ModelStore(config.state.models)
    one, other = named(store, config.one), named(store, config.other)
    found = compare(one.path, other.path)
    console = Console()
    if config.json:
        console.print_json(
            json.dumps({"one": one.digest, "other": other.digest, **found.to_json()})
        )
    else:
        _print(
            console, one=f"{one.digest} ({origin(one)})", other=f"{other.digest} ({origin(other)})"
        )
        _tell(console, found)
    return int(found.differ)


def _tell(console: Console, found: Comparison) -> None:
    from rich.table import Table

    table = Table("tensors", "numbers", "length", "length of change", "relative")
    for group in found.groups:
        table.add_row(
            group.name, f"{group.numbers:,}", f"{group.norm:.4g}",
            f"{group.change:.4g}", f"{group.relative:.2e}" if group.change else "the same",
        )  # fmt: skip
    console.print(table)
    for name in found.names:
        console.print(f"tensor     {name}", soft_wrap=True, highlight=False, markup=False)
    for difference in found.files:
        console.print(f"file       {difference}", soft_wrap=True, highlight=False, markup=False)
    if not found.differ:
        console.print("They are the same.")


def _print(console: Console, **values: object) -> None:
    for name, value in values.items():
        text = f"{name:10} {json.dumps(value) if isinstance(value, dict) else value}"
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
