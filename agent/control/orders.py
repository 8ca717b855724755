"""What operators may order: names, arguments, and what control does about it.

By ``armada stop``, ``armada record`` and their like over the control socket, and by
``armada fleet ORDER ROBOT`` over MQTT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.control.loop import ControlLoop
from agent.control.operator_role import Handler
from robots.errors import ConfigError

_MOST_EPISODES = 10_000


def handlers(loop: ControlLoop) -> dict[str, Handler]:
    """Order → what carries it out."""
    recording, corrections = loop.recording, loop.corrections
    return {
        "status": lambda args: loop.status(),
        "stop": lambda args: loop.stop(_text(args, "reason", "the operator's stop")),
        "clear": lambda args: loop.clear(),
        "source": lambda args: loop.set_source(_text(args, "name")),
        "task": lambda args: loop.set_task(_text(args, "task")),
        "record_start": lambda args: recording.start(_episodes(args)),
        "record_stop": lambda args: recording.close(),
        "record_next": lambda args: recording.finish(),
        "record_discard": lambda args: recording.discard(),
        "record_save_last": lambda args: recording.save_last(loop.task, _seconds(args)),
        "mark": lambda args: recording.mark(success=_truth(args, "success")),
        "pause": lambda args: corrections.pause(),
        "correct": lambda args: corrections.correct(),
        "resume": lambda args: corrections.resume(),
        "end_trial": lambda args: loop.policy.end_trial(
            _generation(args), keep=_truth(args, "keep")
        ),
        "shutdown": lambda args: loop.shutdown(_text(args, "reason", "the operator's order")),
    }


def _text(args: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = args.get(name, default)
    if not isinstance(value, str) or not value:
        raise ConfigError("must be a text", field=name, value=value)
    return value


def _truth(args: Mapping[str, Any], name: str) -> bool:
    value = args.get(name)
    if not isinstance(value, bool):
        raise ConfigError("must be true or false", field=name, value=value)
    return value


def _generation(args: Mapping[str, Any]) -> int:
    value = args.get("generation")
    if type(value) is not int or value < 1:
        raise ConfigError("must be a policy worker's number", field="generation", value=value)
    return value


def _episodes(args: Mapping[str, Any]) -> int:
    value = args.get("episodes", 1)
    if type(value) is not int or not 1 <= value <= _MOST_EPISODES:
        raise ConfigError(f"must be from 1 to {_MOST_EPISODES}", field="episodes", value=value)
    return value


def _seconds(args: Mapping[str, Any]) -> float | None:
    value = args.get("seconds")
    if value is not None and type(value) not in (int, float):
        raise ConfigError("must be a number", field="seconds", value=value)
    return value
