"""``armada status`` and ``armada fleet``: a link, its broker and its control are real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.paths import StateDir
from tests.helpers import free_port, wait_until
from tests.mqtt import Broker, Control, LinkProcess, Listener

Armada = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    running = Broker(tmp_path_factory.mktemp("central")).start()
    yield running
    running.end()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    state = StateDir(tmp_path_factory.mktemp("agent"))
    stand_in = Control(state.control_socket).start()
    stand_in.state = state.root  # type: ignore[attr-defined]
    yield stand_in
    stand_in.end()


@pytest.fixture(scope="module")
def listener(broker: Broker, control: Control) -> Iterator[Listener]:
    """Of a fleet with one robot that runs and one that went."""
    root = control.state  # type: ignore[attr-defined]
    link = LinkProcess(root, broker.port, StateDir(root).control_socket).start()
    hears = Listener(broker.port)
    gone = {"robot": "gone", "fleet": "test", "state": "offline", "time": 1.0, "telemetry": {}}
    hears.say("armada/test/gone/status", gone, retain=True)

    def up() -> bool:
        control.telemetry(rate_hz=29.97, source="policy", digest="sha256:0123456789abcdef")
        return any(s["state"] == "running" for s in hears.heard("robot1/status"))

    wait_until(up, timeout_s=20)
    yield hears
    hears.close()
    link.clean_up()


@pytest.fixture
def armada(broker: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Armada:
    monkeypatch.setenv("COLUMNS", "140")

    def run(*words: str) -> tuple[int, str]:
        status = cli.main([*words, f"--broker.port={broker.port}"])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_status_shows_who_is_there(listener: Listener, control: Control, armada: Armada) -> None:
    control.telemetry(rate_hz=29.97, source="policy", digest="sha256:0123456789abcdef")
    status, said = armada("status", "--fleet=test")
    assert status == 1, "one is offline"
    lines = {line.split()[1]: line for line in said.splitlines() if line.startswith("│")}
    assert "30.0 Hz" in lines["robot1"]
    assert "policy" in lines["robot1"]
    assert "0123456789ab" in lines["robot1"]
    assert "offline" in lines["gone"]


def test_status_as_json(listener: Listener, armada: Armada) -> None:
    _, said = armada("status", "--fleet=test", "--json=true")
    robots = {r["robot"]: r for r in json.loads(said)}
    assert set(robots) == {"gone", "robot1"}
    assert robots["robot1"]["telemetry"]["rate_hz"] == 29.97


def test_status_of_a_fleet_without_robots(listener: Listener, armada: Armada) -> None:
    status, said = armada("status", "--fleet=nobody")
    assert status == 1
    assert "no robots yet" in said


def test_status_survives_what_others_wrote(listener: Listener, armada: Armada) -> None:
    """Whoever may write to the broker may write nonsense, markup or in another robot's name."""
    odd = {"robot": "odd", "fleet": "hostile", "state": "[/red]", "time": 1}
    odd["telemetry"] = {"rate_hz": "fast", "chunk_latency_ms_p50": {}, "digest": 5, "source": None}
    listener.say("armada/hostile/odd/status", odd, retain=True)
    listener.say("armada/hostile/liar/status", odd | {"state": "spoofed"}, retain=True)
    listener.say("armada/hostile/noise/status", b"\x00\xff", retain=True)
    _, said = armada("status", "--fleet=hostile")
    assert "[/red]" in said
    assert "fast" in said
    assert "spoofed" not in said


def test_status_of_this_host(listener: Listener, control: Control, armada: Armada) -> None:
    root: Path = control.state  # type: ignore[attr-defined]
    status, said = armada("status", f"--state_dir={root}")
    assert status == 0
    assert "running" in said


def test_an_order_to_one(listener: Listener, control: Control, armada: Armada) -> None:
    status, said = armada("fleet", "stop", "robot1", "--fleet=test", "--args={reason: lunch}")
    assert status == 0
    assert "robot1: done" in said
    assert control.orders[-1] == ("stop", {"reason": "lunch"})


def test_an_order_to_all_goes_to_those_that_are_online(
    listener: Listener, control: Control, armada: Armada
) -> None:
    status, said = armada("fleet", "clear", "all", "--fleet=test", "--json=true")
    assert status == 0
    assert [r["robot"] for r in json.loads(said)] == ["robot1"]


def test_a_refusal(listener: Listener, armada: Armada) -> None:
    status, said = armada("fleet", "dance", "robot1", "--fleet=test")
    assert status == 1
    assert "robot1: not done: no such command: dance" in said


def test_a_robot_that_does_not_answer(listener: Listener, control: Control, armada: Armada) -> None:
    control.silent = True
    try:
        status, said = armada("fleet", "stop", "all", "--fleet=test", "--timeout_s=0.5")
    finally:
        control.silent = False
    assert status == 1
    assert "robot1: not done: no answer within 0.5 s" in said


@pytest.mark.parametrize("robot", ["gone", "stranger"])
def test_a_robot_that_is_not_there(listener: Listener, armada: Armada, robot: str) -> None:
    status, said = armada("fleet", "stop", robot, "--fleet=test")
    assert status == 2
    assert f"robot={robot}: no such robot is online. Online: robot1" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", f"--broker.port={free_port()}"), "can't be reached"),
        (("status", "--broker.port=0"), "--broker.port=0: isn't a port"),
        (("status", "--fleet=+"), "--fleet=+: must be"),
        (("status", "--broker.password_env=NOBODY_SET_THIS"), "export NOBODY_SET_THIS"),
        (("fleet",), "order: needs an order. `armada fleet stop all`"),
        (("fleet", "stop"), "robot: needs a name"),
        (("fleet", "stop", "+"), "robot=+: must be"),
        (("fleet", "stop", "all", "--timeout_s=0"), "must be positive"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
