"""``armada models pull | pin | unpin | trust``: what a robot takes from its fleet's server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.commands.models_named import named, say
from robots.errors import ConfigError

if TYPE_CHECKING:
    from agent.commands.models_config import ServerConfig, StoreConfig
    from agent.fleet import FleetClient
    from agent.releases.pull import Puller
    from agent.releases.trust import TrustedKeys
    from agent.training.home import Home


def pull(argv: list[str]) -> int:
    """Take a release, or the fleet's base; 1 if it was refused."""
    from agent.commands.models_config import PullConfig
    from agent.commands.parsing import parse
    from agent.releases.consider import consider
    from agent.releases.outcome import TAKEN

    config = parse(PullConfig, argv, prog="armada models pull", positional=("version",))
    with puller(config) as pulls:
        if config.base:
            return say(config.json, "base", pulls.pull_base())
        model = pulls.pull(config.version)
        return int(consider(home(config, config.dataset), model, _emit(config)) != TAKEN)


def pin(argv: list[str]) -> int:
    """Stay on a model, whatever the fleet releases."""
    from agent.commands.models_config import PinConfig
    from agent.commands.parsing import parse
    from agent.policy.store import ModelStore
    from agent.releases.ledger import Pin, ReleaseLedger
    from agent.releases.origin import release_of
    from agent.releases.take import take

    config = parse(PinConfig, argv, prog="armada models pin", positional=("model",))
    store = ModelStore(config.state.models)
    model = named(store, config.model)
    # Pinned first: no release slips in between.
    ReleaseLedger(config.state.release_ledger).set_pin(
        Pin(digest=model.digest, version=release_of(model), reason=config.reason)
    )
    current = store.current
    if current is None or current.path != model.path:
        take(home(config), model, reason=f"pinned: {config.reason}")
    return say(config.json, "pinned", model)


def unpin(argv: list[str]) -> int:
    """Take releases again."""
    from rich.console import Console

    from agent.commands.models_config import UnpinConfig
    from agent.commands.parsing import parse
    from agent.releases.ledger import ReleaseLedger

    config = parse(UnpinConfig, argv, prog="armada models unpin")
    ledger = ReleaseLedger(config.state.release_ledger)
    was = ledger.pin
    ledger.set_pin(None)
    if config.json:
        Console().print_json(json.dumps({"pinned": None, "was": was and vars(was)}))
    elif was is None:
        Console().print("it was not pinned")
    else:
        Console().print("releases are taken again; the newest now: armada models pull")
    return 0


def trust(argv: list[str]) -> int:
    """Take the releases of another key as well, before the server changes its own."""
    from rich.console import Console

    from agent.commands.models_config import TrustConfig
    from agent.commands.parsing import parse
    from agent.releases.signature import check_key

    config = parse(TrustConfig, argv, prog="armada models trust", positional=("key",))
    keys = trusted(config)
    if config.key:
        keys.trust(check_key(config.key))
    if config.json:
        Console().print_json(json.dumps({"keys": keys.keys()}))
    else:
        for key in keys.keys() or ("none yet: the first that is met will be",):
            Console().print(f"trusted: {key}", soft_wrap=True, highlight=False, markup=False)
    return 0


# What the verbs that ask the server share ---------------------------------------------------


def home(config: StoreConfig, dataset: str = "") -> Home:
    """The robot, as its last ``armada run`` was configured."""
    from agent.training.home import Home

    path = config.state.config
    own = _read(path) if path.is_file() else {}
    dataset = dataset or (own.get("dataset") or {}).get("root") or ""
    return Home.of(
        {
            "name": config.name,
            "state-dir": str(config.state.root),
            "dataset-root": str(dataset or config.state.default_dataset),
        }
    )


def connect(config: ServerConfig) -> FleetClient:
    """A client of the fleet's server.

    Raises:
        ConfigError: none is known.
    """
    from agent.fleet import FleetClient

    robot = home(config)
    server = config.server or robot.server
    if not server:
        raise ConfigError(
            "is missing", field="--server", remedy="Give host:port of the fleet's server"
        )
    certificates = config.root_certificates or robot.root_certificates
    return FleetClient(server, certificates, token=robot.token())


def trusted(config: StoreConfig) -> TrustedKeys:
    """Whose releases the robot takes."""
    from agent.releases.signature import configured_keys
    from agent.releases.trust import TrustedKeys

    return TrustedKeys(config.state.release_keys, configured_keys(home(config).release_key))


@contextlib.contextmanager
def puller(config: ServerConfig) -> Iterator[Puller]:
    """What takes releases for this robot, and tells of it on the terminal."""
    from agent.releases.pull import Puller
    from agent.releases.signature import configured_keys

    robot = home(config)
    with connect(config) as client:
        keys = configured_keys(robot.release_key)
        yield Puller(client, robot, _emit(config), keys=keys)


def _emit(config: StoreConfig) -> Any:
    from rich.console import Console

    console = Console()

    def emit(kind: str, **data: Any) -> None:
        text = json.dumps({"event": kind, **data}) if config.json else _sentence(kind, data)
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    return emit


def _sentence(kind: str, data: dict[str, Any]) -> str:
    details = ", ".join(f"{key} {value}" for key, value in data.items())
    return f"{kind.removeprefix('release_'):10} {details}"


def _read(path: Any) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
