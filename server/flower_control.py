"""Everything of Flower that is private and that the server needs, in one place.

Runs are started through the Control API, for which Flower 1.39 has a command (``flwr run``, 3–5 s,
status 0 even when the run fails) but no public Python interface. ``ControlHttpClient`` is what that
command uses inside. Written against flwr 1.39.0; ``tests/server/test_flower_control.py`` fails when
another release is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.utils import simulation_config_from_json

from robots.errors import FederationError
from server.bundle import Bundle
from server.nodes import Node

WRITTEN_FOR = "1.39.0"


@dataclass(frozen=True)
class RunStatus:
    """What Flower says of a run.

    Args:
        status: pending, starting, running or finished.
        sub_status: completed, failed or stopped, once finished.
        details: Why.
    """

    status: str
    sub_status: str
    details: str

    @property
    def over(self) -> bool:
        return self.status == "finished"


class FlowerControl:
    """A client of a SuperLink's Control API. That API asks nobody who they are: keep it on
    loopback.

    Args:
        address: host:port of the SuperLink's HTTP API.
        root_certificates: CA of its certificate; None: plaintext.
    """

    def __init__(self, address: str, root_certificates: Path | None = None) -> None:
        self._address = address
        self._client = ControlHttpClient.from_server_address(
            server_address=address,
            insecure=root_certificates is None,
            root_certificates=str(root_certificates) if root_certificates else None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        )

    def __enter__(self) -> FlowerControl:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def start_run(
        self,
        bundle: Bundle,
        config: dict[str, str | int | float | bool],
        *,
        federation: dict[str, int | float] | None = None,
    ) -> int:
        """Start a run and return its id.

        Args:
            bundle: The app.
            config: Overrides of what the bundle configures; other keys are refused.
            federation: For a SuperLink that simulates: ``num_supernodes`` and Ray's resources.

        Raises:
            FederationError: the SuperLink doesn't answer or refuses.
        """
        request = StartRunRequest(
            fab=fab_to_proto(Fab(bundle.sha256, bundle.content, {})),
            override_config=user_config_to_proto(config),
            override_federation_config=simulation_config_from_json(dict(federation or {})),
        )
        try:
            response = self._client.StartRun(request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not response.HasField("run_id"):
            raise FederationError("the SuperLink refused the run", remedy="See its log")
        return int(response.run_id)

    def status(self, run_id: int) -> RunStatus | None:
        """The status of a run; None if the SuperLink knows no such run.

        Raises:
            FederationError: the SuperLink doesn't answer.
        """
        try:
            response = self._client.ListRuns(ListRunsRequest(run_id=run_id))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise self._unreachable(error) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if run_id not in response.run_dict:
            return None
        status = response.run_dict[run_id].status
        return RunStatus(status.status, status.sub_status, status.details)

    def nodes(self) -> list[Node]:
        """The robots that may join, and those that registered themselves.

        Raises:
            FederationError: the SuperLink doesn't answer.
        """
        try:
            response = self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return [
            Node(int(n.node_id), str(n.name), bytes(n.public_key), n.status == "online")
            for n in response.nodes_info
            if n.status != "unregistered"
        ]

    def register(self, name: str, public_key: bytes) -> int:
        """Let a robot join; its node id.

        Args:
            name: Kept beside the key.
            public_key: PEM. One that was unregistered is refused for ever.

        Raises:
            FederationError: the SuperLink doesn't answer or refuses.
        """
        try:
            request = RegisterNodeRequest(public_key=public_key, name=name)
            return int(self._client.RegisterNode(request).node_id)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def unregister(self, node_id: int) -> None:
        """Let a robot join no more; one that is there is refused from its next call on.

        Raises:
            FederationError: the SuperLink doesn't answer or knows no such node.
        """
        try:
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def stop_run(self, run_id: int) -> None:
        """End a run; one that is over or unknown is no mistake.

        Raises:
            FederationError: the SuperLink doesn't answer.
        """
        try:
            self._client.StopRun(StopRunRequest(run_id=run_id))
        except httpx.HTTPStatusError as error:
            if error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise self._unreachable(error) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def logs(self, run_id: int) -> Iterator[str]:
        """What a run that is over has said.

        Raises:
            FederationError: the SuperLink doesn't answer.
        """
        try:
            for part in self._client.StreamLogs(StreamLogsRequest(run_id=run_id)):
                yield str(part.log_output)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def reachable(self) -> bool:
        """Whether the SuperLink answers."""
        try:
            self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError:
            return False
        return True

    def _unreachable(self, error: httpx.HTTPError) -> FederationError:
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.HTTPStatusError):
            reason = f"{error.response.status_code}: {error.response.text[:300]}"
        return FederationError(
            f"the SuperLink does not answer ({reason})", field="superlink", value=self._address
        )
