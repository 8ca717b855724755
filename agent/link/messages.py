"""What goes over MQTT: JSON objects, checked on arrival.

Topics, with ``R`` = ``armada/<fleet>/<robot>``:

=============================  ====  ========================================================
``R/status``                   ret.  Status; the broker says ``offline`` when the link is gone
``R/telemetry``                      what the control loop reports, twice a second
``R/event``                          Event, at least once, in order
``R/command``                        Command for this robot
``armada/<fleet>/command``           Command for every robot
``R/reply``                          Reply to a command
``armada/<fleet>/release``     ret.  ReleaseNotice
=============================  ====  ========================================================
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robots.errors import LinkError

MAX_B = 64 * 1024
"""No message of ours comes near; what is larger is not ours."""

MAX_NAME = 128
"""Characters of an id or a name."""

MAX_DEPTH = 16
"""Deeper than any message of ours. What is handed on to control must not exhaust its stack."""


@dataclass(frozen=True)
class Topics:
    """The topics of one robot."""

    fleet: str
    robot: str

    @property
    def base(self) -> str:
        return f"armada/{self.fleet}/{self.robot}"

    @property
    def status(self) -> str:
        return f"{self.base}/status"

    @property
    def telemetry(self) -> str:
        return f"{self.base}/telemetry"

    @property
    def event(self) -> str:
        return f"{self.base}/event"

    @property
    def command(self) -> str:
        return f"{self.base}/command"

    @property
    def reply(self) -> str:
        return f"{self.base}/reply"

    @property
    def everybody(self) -> str:
        return f"armada/{self.fleet}/command"

    @property
    def release(self) -> str:
        return f"armada/{self.fleet}/release"


@dataclass(frozen=True, kw_only=True)
class Status:
    """Who this robot is and how it stands; retained.

    Args:
        robot, fleet: Names.
        state: ``online``, ``offline``, or what control says (running, stopped, parking …).
        time: Seconds since the epoch.
        telemetry: The last telemetry, so that a late reader has a whole picture at once.
        episodes, new_episodes: How many it has that may be trained on, and how many of them it
            hasn't trained on.
        release: That it runs; 0: none of the fleet's.
        decisions: Its last few events about releases: an event that was delivered while nobody
            listened is lost, this isn't.
    """

    robot: str
    fleet: str
    state: str
    time: float
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 0
    new_episodes: int = 0
    release: int = 0
    decisions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened.

    Args:
        id: Unique for this robot; the same event may come twice.
        robot: Its name.
        event: What kind.
        cause: In words.
        time: Seconds since the epoch.
        data: Figures.
    """

    id: str
    robot: str
    event: str
    cause: str
    time: float
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """An order.

    Args:
        id: Comes back in the reply.
        name: Which.
        args: Its arguments.
    """

    id: str
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("id", "name"):
            value = getattr(self, what)
            if not 0 < len(value) <= MAX_NAME:
                raise LinkError(
                    f"must have 1 to {MAX_NAME} characters",
                    field=f"Command.{what}",
                    value=value[:60],
                )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a command.

    Args:
        id: The command's.
        robot: Who answers.
        ok: Whether it was obeyed.
        error: Why not.
        result: What it returned.
    """

    id: str
    robot: str
    ok: bool
    error: str = ""
    result: Any = None


@dataclass(frozen=True, kw_only=True)
class ReleaseNotice:
    """There is a release.

    Args:
        version: Its number.
        digest: Of its weights.
        address: The server that has it, host:port; empty: one that listens on all addresses of its
            host, and doesn't know which of them robots use.
        time: Seconds since the epoch.
    """

    version: int
    digest: str
    address: str
    time: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.version < 2**31:
            raise LinkError(
                "must be a positive number", field="ReleaseNotice.version", value=str(self.version)
            )


def encode(message: Any) -> bytes:
    """A message as JSON."""
    return json.dumps(dataclasses.asdict(message), separators=(",", ":")).encode()


def decode[M](kind: type[M], payload: bytes) -> M:
    """Check and read a message of a kind; fields that this version doesn't know are ignored.

    Raises:
        LinkError: it is none.
    """
    if len(payload) > MAX_B:
        raise LinkError(f"a message of {len(payload)} B is too large", field=kind.__name__)
    try:
        data = json.loads(payload)
        # Python reads more than is JSON (NaN, 1e999), and JSON holds more than is text (lone
        # surrogates, which no terminal and no log file takes).
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise LinkError("a message is no JSON", field=kind.__name__) from error
    if _depth(data) > MAX_DEPTH:
        raise LinkError("a message is nested too deeply", field=kind.__name__)
    if not isinstance(data, dict):
        raise LinkError("a message is no JSON object", field=kind.__name__)
    values: dict[str, Any] = {}
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if f.name in data:
            values[f.name] = _checked(kind.__name__, f.name, str(f.type), data[f.name])
        elif required:
            raise LinkError("a message lacks this field", field=f"{kind.__name__}.{f.name}")
    return kind(**values)


def _depth(data: Any) -> int:
    level, depth = [data], 0
    while level := [
        value
        for outer in level
        if isinstance(outer, dict | list)
        for value in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            break
    return depth


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "Mapping[str, Any]": (dict,),
    "list[dict[str, Any]]": (list,),
}


def _checked(kind: str, name: str, wanted: str, value: Any) -> Any:
    accepted = _TYPES.get(wanted)
    is_flag = isinstance(value, bool)
    if accepted is not None and (
        not isinstance(value, accepted) or (is_flag and bool not in accepted)
    ):
        raise LinkError(f"must be {wanted}", field=f"{kind}.{name}", value=str(value)[:60])
    return value
