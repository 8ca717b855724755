"""Who may call the fleet service over TLS: the real service, strangers, robots and operators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from agent.doctor import fleet as doctor
from agent.doctor.check import Verdict
from agent.fleet import FleetClient, open_channel
from agent.proto import fleet_pb2 as pb
from agent.proto.fleet_pb2_grpc import FleetServicer, FleetStub
from robots.errors import FederationError
from server.access import OPERATORS_ONLY, SERVICE, Access
from server.certs import make_certs
from server.service import serve
from server.tokens import Tokens
from tests.helpers import free_port


class Answers(FleetServicer):
    """Answers whoever gets through."""

    def ListReleases(
        self, request: pb.ListReleasesRequest, context: grpc.ServicerContext
    ) -> pb.ListReleasesResponse:
        return pb.ListReleasesResponse()

    def FetchRelease(
        self, request: pb.FetchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.Chunk]:
        yield pb.Chunk(data=b"x", total=1)

    def StartRound(self, request: pb.StartRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        return pb.Round(id=7, request=request)


@dataclass
class Service:
    address: str
    ca: str
    robots: Tokens
    operators: Tokens

    def client(self, token: str = "") -> FleetClient:
        return FleetClient(self.address, self.ca, token=token)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    certs = make_certs(tmp_path, ["127.0.0.1"])
    robots, operators = Tokens(tmp_path / "robots.json"), Tokens(tmp_path / "operators.json")
    credentials = grpc.ssl_server_credentials([(certs.key.read_bytes(), certs.cert.read_bytes())])
    address = f"127.0.0.1:{free_port()}"
    server = serve(Answers(), address, credentials, [Access(robots, operators)])
    yield Service(address, str(certs.ca), robots, operators)
    server.stop(grace=None).wait()


def test_strangers_are_refused(service: Service) -> None:
    with (
        service.client() as nobody,
        pytest.raises(FederationError, match="asks for a token"),
    ):
        nobody.releases()
    with (
        service.client("guessed") as stranger,
        pytest.raises(FederationError, match="none of this server's"),
    ):
        stranger.start_round(pb.StartRoundRequest())
    with service.client() as nobody, pytest.raises(FederationError, match="asks for a token"):
        list(nobody.fetch(1, "update", 0, 1))


def test_a_robot_reads_and_fetches_and_starts_nothing(service: Service) -> None:
    with service.client(service.robots.add("left")) as left:
        assert left.releases() == []
        assert [chunk.data for chunk in left.fetch(1, "update", 0, 1)] == [b"x"]
        with pytest.raises(FederationError, match="StartRound takes an operator's token"):
            left.start_round(pb.StartRoundRequest())


def test_an_operator_does_both_until_the_token_is_void(service: Service) -> None:
    with service.client(service.operators.add("ann")) as ann:
        assert ann.releases() == []
        started = ann.start_round(pb.StartRoundRequest(rounds=2, by="eve"))
        assert (started.id, started.request.rounds) == (7, 2)
        assert started.request.by == "ann", "the token says who it was"
        service.operators.remove("ann")
        with pytest.raises(FederationError, match="none of this server's"):
            ann.releases()


def test_what_changes_something_is_the_operators(service: Service) -> None:
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["Fleet"].methods}

    assert pb.DESCRIPTOR.services_by_name["Fleet"].full_name == SERVICE
    # A method that is new stands on neither side until somebody decides.
    reads = {name for name in methods if name.startswith(("Get", "List", "Watch", "Fetch"))}
    assert methods - reads == OPERATORS_ONLY
    for method in pb.DESCRIPTOR.services_by_name["Fleet"].methods:
        if method.name in OPERATORS_ONLY:
            assert "by" in method.input_type.fields_by_name


def test_a_token_is_never_sent_in_plaintext(service: Service) -> None:
    with open_channel(service.address, None, token="secret") as channel:
        stub = FleetStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListReleases(pb.ListReleasesRequest(), timeout=5.0)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_stranger_still_learns_the_time(service: Service) -> None:
    findings = {f.part: f for f in doctor.server(service.address, service.ca)}

    assert findings["server"].verdict is Verdict.FAIL
    assert "--federation.token_env" in findings["server"].remedy
    assert findings["clock offset"].verdict is Verdict.OK
