"""A fleet on two hosts, as it is set up: `armada server` with TLS, registered robots, operators."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from agent.fleet import FleetClient
from agent.supernode import OFFLINE, REFUSED
from agent.supervisor.child import Child, ChildSpec
from agent.supervisor.words import last_error
from robots.errors import FederationError
from tests.helpers import wait_until
from tests.server.deployment import START_S, Deployment

pytestmark = pytest.mark.timeout(900)

AHEAD_S = 3600

_FAST_CLOCK = f"""
import datetime, os, sys, time, types
ahead = lambda: time.time() + {AHEAD_S}
from agent import supernode
from agent.doctor import fleet
from flwr.client.grpc_rere_client import node_auth_client_interceptor as signs
# What looks at the clock; gRPC's deadlines are in the same clock and would be an hour late.
signs.now = lambda: datetime.datetime.fromtimestamp(ahead(), datetime.UTC)
fleet.time = types.SimpleNamespace(time=ahead)
if sys.argv[1:2] == ["diagnose"]:
    sys.exit(supernode.explain(sys.argv[2:]))
sys.executable = os.environ["FAST"]
supernode.main(sys.argv[1:])
"""


class Line:
    """A way to the SuperLink that can be made to say what no SuperLink says."""

    def __init__(self, superlink: str) -> None:
        host, _, port = superlink.rpartition(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.garbled = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def garble(self) -> None:
        self.garbled = True
        for end in self._open:
            end.close()

    def close(self) -> None:
        self._server.close()
        self.garble()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.garbled:
                near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            end.close()


@pytest.fixture
def line(deployment: Deployment) -> Iterator[Line]:
    line = Line(deployment.config.superlink_address)
    yield line
    line.close()


def test_a_registered_robot_joins_and_strangers_do_not(deployment: Deployment) -> None:
    token = deployment.register("left")
    deployment.start_robot("left")
    stranger = deployment.start_robot("stranger", wait=False)

    ended = wait_until(stranger.supernode.poll, timeout_s=START_S)
    assert ended.status == OFFLINE
    assert "Exit Code: 305" in stranger.log("supernode")
    assert [n.name for n in deployment.control.nodes() if n.online] == ["left"]
    address, ca = deployment.config.address, deployment.ca
    with FleetClient(address, ca, token=token) as left, deployment.operator() as ann:
        assert left.rounds() == ann.rounds() == []
    with (
        FleetClient(address, ca) as nobody,
        pytest.raises(FederationError, match="asks for a token"),
    ):
        nobody.rounds()


def test_a_wrong_clock_is_named_with_its_remedy(deployment: Deployment) -> None:
    deployment.register("fast")
    robot = deployment.start_robot("fast", wait=False)
    robot.end()
    argv = [sys.executable, "-c", _FAST_CLOCK, *robot.supernode.spec.argv[3:]]
    log = robot.state.logs / "fast.log"
    # The clock is as fast in what it becomes.
    again = robot.state.root / "fast.sh"
    script = robot.state.root / "fast.py"
    script.write_text(_FAST_CLOCK)
    again.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {script} "$@"\n')
    again.chmod(0o700)
    env = {**robot.supernode.spec.env, "FAST": str(again)}
    spec = ChildSpec(name="fast", argv=argv, log=log, env=env)
    child = Child(spec)
    child.start()

    ended = wait_until(child.poll, timeout_s=START_S)

    assert ended.status == REFUSED
    why = last_error(log)
    found = re.search(r"its clock is (\d+)", why)
    assert found is not None, why
    # How long a reply is on its way is part of it.
    assert AHEAD_S - 1 <= int(found[1]) <= AHEAD_S + 60
    assert "timedatectl set-ntp true" in why


def test_a_supernode_that_is_told_to_end_ends_in_order(deployment: Deployment) -> None:
    deployment.register("orderly")
    robot = deployment.start_robot("orderly")

    robot.supernode.tell(signal.SIGTERM)

    ended = wait_until(robot.supernode.poll, timeout_s=START_S)
    assert ended.status == 0
    # It said goodbye: its next start isn't refused.
    assert not deployment.online("orderly")


def test_a_supernode_that_went_silent_after_a_failed_handshake_ends(
    deployment: Deployment, line: Line
) -> None:
    deployment.register("cut")
    robot = deployment.start_robot("cut", through=line.address)
    assert robot.supernode.pid is not None

    line.garble()

    ended = wait_until(robot.supernode.poll, timeout_s=START_S)
    assert ended.status == OFFLINE
