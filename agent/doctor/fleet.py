"""Whether the fleet's broker, SuperLink and server let this robot in, by their own protocols."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import grpc

from agent.doctor.check import Finding, Verdict
from agent.fleet import open_channel
from agent.link.broker import BrokerConfig
from agent.link.operator import Login, fleet_status
from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetStub
from robots.errors import LinkError

_CONNECT_S = 5.0
_AHEAD_S, _BEHIND_S = 4.0, 300.0
"""Flower 1.39: a SuperNode exits when its clock is further off than this."""

_NOTICEABLE_S = 2.0
"""An HTTP date has whole seconds."""

_RUNS = "Is `armada server` running there?"


def broker(config: BrokerConfig, fleet: str) -> Iterator[Finding]:
    """Log in over MQTT and read who is known.

    Raises:
        LinkError: it can't be reached, or refuses the login.
    """
    login = Login(username=config.username, password=config.password, tls_ca=config.tls_ca)
    try:
        known = fleet_status(config.host, config.port, fleet, wait_s=1.0, login=login)
    except LinkError as error:
        if "authori" not in error.message:
            raise
        remedy = "Check --broker.username and the password in the variable --broker.password_env"
        yield Finding("broker", Verdict.FAIL, error.message, remedy)
        return
    online = sum(status.state != "offline" for status in known)
    how = f"as {config.username}" if config.username else "without a login"
    detail = (
        f"{config.host}:{config.port} accepts MQTT {how}; fleet {fleet}: {len(known)} robots "
        f"known, {online} online"
    )
    yield Finding("broker", Verdict.OK, detail)


def superlink(address: str, root_certificates: str) -> Iterator[Finding]:
    """Whether the SuperLink's Fleet API answers gRPC."""
    with open_channel(address, root_certificates) as channel:
        yield _ready("superlink", channel, address, root_certificates)


def server(address: str, root_certificates: str, token: str = "") -> Iterator[Finding]:
    """Whether the fleet's server answers a call; its clock, where it says the time."""
    with open_channel(address, root_certificates, token=token) as channel:
        ready = _ready("server", channel, address, root_certificates)
        if ready.verdict is not Verdict.OK:
            yield ready
            return
        stub = FleetStub(channel)  # type: ignore[no-untyped-call]
        try:
            answer, call = stub.ListReleases.with_call(pb.ListReleasesRequest(), timeout=_CONNECT_S)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                remedy = "Give --federation.token_env or --federation.token_file"
                detail = f"{address} refuses this robot ({error.details()})"
                yield Finding("server", Verdict.FAIL, detail, remedy)
                yield offset(dict(error.initial_metadata() or ()).get("date"), time.time())
                return
            said = (error.details() or str(error.code())).splitlines()[0][:200]
            detail = f"{address} speaks gRPC but doesn't list releases ({said})"
            yield Finding("server", Verdict.FAIL, detail, "Is that `armada server`'s own port?")
            return
        latest = f", latest release {answer.releases[-1].version}" if answer.releases else ""
        yield Finding("server", Verdict.OK, f"{address} answers{latest}")
        yield offset(dict(call.initial_metadata() or ()).get("date"), time.time())


def offset(date: str | None, now_s: float) -> Finding:
    """The line of the clock, compared with the date that the server says (whole seconds)."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        detail = "the fleet's server doesn't say the time; NTP on both keeps them together"
        return Finding("clock offset", Verdict.SKIP, detail)
    ahead = now_s - theirs
    # A date that is cut to the second is up to one behind: that much ahead is none.
    ahead = max(0.0, ahead - 1.0) if ahead > 0 else ahead
    detail = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the fleet's server"
    remedy = "`timedatectl set-ntp true` on both; the SuperLink refuses clocks more than 4 s ahead"
    if ahead > _AHEAD_S or ahead < -_BEHIND_S:
        return Finding("clock offset", Verdict.FAIL, detail, remedy)
    if abs(ahead) > _NOTICEABLE_S:
        return Finding("clock offset", Verdict.WARN, detail, remedy)
    return Finding("clock offset", Verdict.OK, detail)


def _ready(part: str, channel: Any, address: str, root_certificates: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            pass
    except OSError as error:
        detail = f"{address} doesn't answer ({error.strerror or error})"
        return Finding(part, Verdict.FAIL, detail, _RUNS)
    try:
        grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
    except grpc.FutureTimeoutError:
        how = "over TLS" if root_certificates else "in plaintext"
        detail = f"{address} listens but doesn't speak gRPC {how}"
        remedy = (
            "Is it that server's CA in --federation.root_certificates, and the name in its "
            "certificate?"
            if root_certificates
            else "Does it want TLS? Give --federation.root_certificates=ca.crt. Is it that port?"
        )
        return Finding(part, Verdict.FAIL, detail, remedy)
    return Finding(part, Verdict.OK, f"{address} speaks gRPC")
