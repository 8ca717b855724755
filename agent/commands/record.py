"""``armada record …``: episodes and corrections of the agent on this host, by the operator.

Goes over the local control socket, as ``armada stop`` does; the same orders over MQTT are
``armada fleet record_start ROBOT`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from agent.commands.base import Command, show_verbs
from agent.commands.stop import order
from agent.paths import StateDir
from robots.errors import ConfigError, LinkError

_ORDERS: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "stop": ("record_stop", {}, "save the open episode; no further ones"),
    "next": ("record_next", {}, "end and save the open episode now, or the pause after one"),
    "discard": (
        "record_discard",
        {},
        "drop the open episode, in the pause the last one; one of a number comes again",
    ),
    "success": ("mark", {"success": True}, "the open episode, or the last one, is a success"),
    "failure": ("mark", {"success": False}, "the open episode, or the last one, is a failure"),
    "pause": ("pause", {}, "the arm holds; a leader with motors comes to its pose"),
    "correct": ("correct", {}, "the leader takes the arm; again: back to the pause"),
    "resume": ("resume", {}, "the policy goes on"),
}

_KEYS = {
    "b": "start",
    "right": "next",
    "n": "next",
    "left": "discard",
    "r": "discard",
    "s": "save_last",
    "y": "success",
    "f": "failure",
    "space": "pause or resume",
    "tab": "correct",
    "esc": "stop",
    "q": "end this",
}
"""LeRobot's where it has one: ``lerobot-record``'s arrows and letters, ``dagger``'s space and tab,
``highlight``'s s."""


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs: dict[str, Callable[[list[str]], int]] = {"start": _start, "save_last": _save_last}
    for name, (_, _, doc) in _ORDERS.items():
        verbs[name] = _verb(name, doc)
    verbs["keys"] = _keys
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada record", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb",
            field="record",
            value=argv[0] if argv else None,
            remedy=f"One of: {', '.join(verbs)}",
        )
    return verbs[argv[0]](argv[1:])


def _verb(name: str, doc: str) -> Callable[[list[str]], int]:
    verb = partial(_give, name)
    verb.__doc__ = doc
    return verb


def _give(verb: str, argv: list[str]) -> int:
    from agent.commands.parsing import parse
    from agent.commands.record_config import AgentConfig

    config = parse(AgentConfig, argv, prog=f"armada record {verb}", positional=("name",))
    name, args, _ = _ORDERS[verb]
    order(config.state, name, args)
    return 0


def _start(argv: list[str]) -> int:
    """record so many episodes, or one until `next` (--dataset.trigger=operator)"""
    from agent.commands.parsing import parse
    from agent.commands.record_config import StartConfig

    config = parse(StartConfig, argv, prog="armada record start", positional=("name",))
    order(config.state, "record_start", {"episodes": config.episodes})
    return 0


def _save_last(argv: list[str]) -> int:
    """make an episode of the last seconds (--dataset.pre_trigger_s)"""
    from agent.commands.parsing import parse
    from agent.commands.record_config import SaveLastConfig

    config = parse(SaveLastConfig, argv, prog="armada record save_last", positional=("name",))
    order(config.state, "record_save_last", {"seconds": config.seconds or None})
    return 0


def _keys(argv: list[str]) -> int:
    """give these orders by single keys, LeRobot's, until q"""
    import queue

    from lerobot.utils.keyboard_input import create_key_listener
    from rich.console import Console

    from agent.commands.parsing import parse
    from agent.commands.record_config import AgentConfig

    config = parse(AgentConfig, argv, prog="armada record keys", positional=("name",))
    console = Console(highlight=False)
    order(config.state, "status", {})
    pressed: queue.Queue[str] = queue.Queue()
    listener = create_key_listener(pressed.put)
    if listener is None:
        raise ConfigError("there is no keyboard", field="keys", remedy="Run it in a terminal")
    console.print("  ".join(f"{key}: {what}" for key, what in _KEYS.items()), markup=False)
    try:
        while (key := pressed.get()) != "q":
            if key in _KEYS:
                console.print(obey_key(config.state, key), markup=False)
    finally:
        listener.stop()
    return 0


def obey_key(state: StateDir, key: str) -> str:
    """Give the order of a key; what came of it, in words."""
    what = _KEYS[key]
    try:
        if key == "space":
            paused = order(state, "status", {})["correction"] != "autonomous"
            what = "resume" if paused else "pause"
        name, args = {"start": ("record_start", {}), "save_last": ("record_save_last", {})}.get(
            what
        ) or _ORDERS[what][:2]
        order(state, name, args)
    except LinkError as error:
        return f"{what}: {error}"
    return what


COMMAND = Command("record", "begin, end, discard and mark episodes; correct the policy", main, 14)
