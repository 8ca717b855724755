"""The fleet's addresses, by their own protocols."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.doctor import fleet
from agent.doctor.check import Finding, Verdict, run_checks
from agent.link.broker import BrokerConfig
from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetServicer, add_FleetServicer_to_server
from robots.errors import LinkError
from server.broker import await_broker, find_mosquitto
from tests.helpers import free_port
from tests.mqtt import HOST, Broker


class Releases(FleetServicer):  # type: ignore[misc]
    """Two releases; says the time when it is given a date."""

    date = ""

    def ListReleases(self, request: Any, context: Any) -> pb.ListReleasesResponse:
        if self.date:
            context.send_initial_metadata((("date", self.date),))
        return pb.ListReleasesResponse(releases=[pb.Release(version=1), pb.Release(version=2)])


@pytest.fixture
def served() -> Iterator[tuple[str, Releases]]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Releases()
    add_FleetServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", servicer
    server.stop(None).wait()


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Listens and never says a word."""
    monkeypatch.setattr(fleet, "_CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_answers_and_says_no_time(served: tuple[str, Releases]) -> None:
    server, clock = fleet.server(served[0], "")
    assert server.verdict is Verdict.OK
    assert "latest release 2" in server.detail
    assert clock.verdict is Verdict.SKIP


def test_a_clock_that_is_ahead(served: tuple[str, Releases]) -> None:
    served[1].date = formatdate(time.time() - 60, usegmt=True)
    _, clock = fleet.server(served[0], "")
    assert clock.verdict is Verdict.FAIL
    assert "ahead of" in clock.detail
    served[1].date = formatdate(usegmt=True)
    assert list(fleet.server(served[0], ""))[1].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("local", "verdict"),
    [
        (1000.0, Verdict.OK),
        (1000.9, Verdict.OK),
        (1003.5, Verdict.WARN),
        (1006.0, Verdict.FAIL),
        (995.0, Verdict.WARN),
        (600.0, Verdict.FAIL),
    ],
)
def test_the_offset_of_the_clock(local: float, verdict: Verdict) -> None:
    assert fleet.offset(formatdate(1000, usegmt=True), local).verdict is verdict


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_date_that_is_none(date: str | None) -> None:
    assert fleet.offset(date, time.time()).verdict is Verdict.SKIP


def test_a_superlink_is_asked_by_grpc(served: tuple[str, Releases]) -> None:
    (said,) = fleet.superlink(served[0], "")
    assert said == Finding("superlink", Verdict.OK, f"{served[0]} speaks gRPC")


def test_who_listens_but_speaks_no_grpc(mute: str) -> None:
    for check in (fleet.superlink, fleet.server):
        (said,) = check(mute, "")
        assert said.verdict is Verdict.FAIL
        assert "listens but doesn't speak gRPC in plaintext" in said.detail
        assert "root_certificates" in said.remedy


def test_another_grpc_service_is_no_fleet_server() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (said,) = fleet.server(f"127.0.0.1:{port}", "")
    server.stop(None).wait()
    assert said.verdict is Verdict.FAIL
    assert "doesn't list releases" in said.detail


def test_nobody_listens() -> None:
    for check in (fleet.superlink, fleet.server):
        (said,) = check(f"127.0.0.1:{free_port()}", "")
        assert said.verdict is Verdict.FAIL
        assert "armada server" in said.remedy


def test_a_broker_takes_the_login(tmp_path: Path) -> None:
    running = Broker(tmp_path).start()
    try:
        (said,) = fleet.broker(BrokerConfig(host=HOST, port=running.port), "default")
        assert said.verdict is Verdict.OK
        assert "accepts MQTT without a login; fleet default: 0 robots known" in said.detail
    finally:
        running.end()
    with pytest.raises(LinkError):
        list(fleet.broker(BrokerConfig(host=HOST, port=running.port), "default"))


def test_something_else_than_a_broker(mute: str) -> None:
    host, _, port = mute.rpartition(":")
    with pytest.raises(LinkError):
        list(fleet.broker(BrokerConfig(host=host, port=int(port)), "default"))


def test_a_broker_that_refuses_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    (tmp_path / "passwords").touch(mode=0o600)
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} {HOST}\nallow_anonymous false\nuser root\n"
        f"password_file {tmp_path / 'passwords'}\n"
    )
    running = subprocess.Popen([find_mosquitto(), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        await_broker(HOST, port)
        monkeypatch.setenv("WRONG", "wrong")
        login = BrokerConfig(host=HOST, port=port, username="me", password_env="WRONG")
        (said,) = run_checks({"broker": lambda: fleet.broker(login, "default")})
        assert said.verdict is Verdict.FAIL
        assert "authori" in said.detail, "that it listens is not enough"
        assert "password" in said.remedy
    finally:
        running.terminate()
        running.wait()
