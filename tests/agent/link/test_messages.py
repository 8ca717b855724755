"""Messages: what is written can be read, and what is read was checked."""

from __future__ import annotations

import json

import pytest

from agent.link.messages import (
    MAX_B,
    MAX_DEPTH,
    Command,
    Event,
    ReleaseNotice,
    Reply,
    Status,
    Topics,
    decode,
    encode,
)
from robots.errors import LinkError


@pytest.mark.parametrize(
    "message",
    [
        Status(robot="a", fleet="f", state="running", time=1.5, telemetry={"rate_hz": 30.0}),
        Event(id="1", robot="a", event="stopped", cause="Ünfug …", time=2, data={"x": [1, None]}),
        Command(id="1", name="task", args={"task": "fold the cloth"}),
        Reply(id="1", robot="a", ok=False, error="no"),
        ReleaseNotice(version=3, digest="sha256:ab", address="127.0.0.1:29300"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_what_is_written_can_be_read(message: object) -> None:
    assert decode(type(message), encode(message)) == message


def test_fields_of_a_later_version_are_ignored() -> None:
    data = {"id": "1", "name": "stop", "priority": 9}
    assert decode(Command, json.dumps(data).encode()) == Command(id="1", name="stop")


@pytest.mark.parametrize("version", [0, -1, 2**31, True, 1.0, "1", None])
def test_a_release_has_a_number(version: object) -> None:
    data = {"version": version, "digest": "d", "address": "a"}
    with pytest.raises(LinkError, match=r".*") as refused:
        decode(ReleaseNotice, json.dumps(data).encode())
    assert refused.value.field == "ReleaseNotice.version"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"id": "1", "name": "a", "args": {"x": NaN}}', "no JSON"),
        (b'{"id": "1", "name": "a", "args": {"x": 1e999}}', "no JSON"),
        (b'{"id": "1", "name": "\\udc00"}', "no JSON"),
        (b"[" * MAX_B, "no JSON"),
        (b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH, "no JSON object"),
        (b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1), "too deep"),
        (b"x" * (MAX_B + 1), "too large"),
        (b'{"id": "1"}', "Command.name: a message lacks this field"),
        (b'{"id": "1", "name": 1}', "Command.name=1: must be str"),
        (b'{"id": "1", "name": "a", "args": null}', "must be Mapping"),
    ],
)
def test_anything_else_is_refused_in_one_line(payload: bytes, said: str) -> None:
    with pytest.raises(LinkError) as refused:
        decode(Command, payload)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200


def test_topics() -> None:
    topics = Topics("barn", "left")
    assert topics.status == "armada/barn/left/status"
    assert topics.command == "armada/barn/left/command"
    assert topics.everybody == "armada/barn/command"
    assert topics.release == "armada/barn/release"
