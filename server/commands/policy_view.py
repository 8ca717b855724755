"""Flags of ``armada policy-server``'s verbs, and its status as a table.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from rich.table import Table

from agent.policy.remote.config import RemoteConfig
from agent.policy.remote.session import endpoint_of
from agent.proto import policy_pb2 as pb
from agent.proto.policy_pb2_grpc import PolicyStub
from robots.errors import LinkError
from server.policy.config import DEFAULT_LISTEN

_CALL_S = 5.0
_COUNTS = ("sheds", "superseded", "expired", "failed", "refused", "swaps")


@dataclass(kw_only=True)
class TokenConfig:
    """Whose token."""

    # add, remove or list.
    verb: str = ""
    # The robot's name, as its --name or --robot.id says.
    robot: str = ""
    # The file that `armada policy-server --tokens` reads.
    tokens: str = ""


@dataclass(kw_only=True)
class StatusConfig:
    """Which server to ask, and as whom."""

    # Policy server, host:port.
    server: str = DEFAULT_LISTEN
    # CA of its certificate, a PEM file; empty: plaintext, allowed on loopback only.
    root_certificates: str = ""
    # Name of the environment variable that holds a token.
    token_env: str = ""
    # Or the file that holds it.
    token_file: str = ""
    # A certificate and its key, PEM files, for a server that asks for one.
    client_certificate: str = ""
    client_key: str = ""
    # Print JSON instead of a table.
    json: bool = False

    def __post_init__(self) -> None:
        self.remote = RemoteConfig(
            server=self.server,
            root_certificates=self.root_certificates,
            token_env=self.token_env,
            token_file=self.token_file,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
        )


def ask_status(config: StatusConfig) -> dict[str, Any]:
    """What a server says of itself.

    Raises:
        LinkError: it doesn't answer, or refuses.
    """
    from server.policy.view import status_dict

    return status_dict(asyncio.run(_ask(config.remote)))


async def _ask(remote: RemoteConfig) -> pb.StatusReply:
    endpoint = endpoint_of(remote)
    async with endpoint.channel() as channel:
        stub = PolicyStub(channel)  # type: ignore[no-untyped-call]
        try:
            reply: pb.StatusReply = await stub.Status(
                pb.StatusRequest(), timeout=_CALL_S, metadata=endpoint.metadata
            )
        except grpc.aio.AioRpcError as error:
            raise LinkError(
                f"{error.details() or error.code()}", field="server", value=remote.server
            ) from error
    return reply


def table(status: dict[str, Any]) -> Table:
    """For a terminal."""
    view = Table(title="policy server", title_justify="left", show_header=False)
    rows = [
        ("policy", f"{status['policy']} {status['digest'].removeprefix('sha256:')[:12]}"),
        ("up", f"{status['uptime_s']:.0f} s, Armada {status['version']}"),
        ("chunks", f"{status['chunks']}"),
        *((name, f"{status[name]}") for name in _COUNTS),
        ("received / sent", f"{status['received_bytes']} / {status['sent_bytes']} bytes"),
        *(
            (f"{s['name'].removesuffix('_s')} p50 / p95", _ms(s["p50_s"], s["p95_s"]))
            for s in status["stages"]
        ),
        *((f"passes of {b['size']}", f"{b['passes']}") for b in status["batches"]),
        *(
            (f"robot {r['name']}", f"{r['chunks']} chunks, idle for {r['idle_s']:.1f} s")
            for r in status["robots"]
        ),
    ]
    for name, value in rows:
        view.add_row(name, value)
    return view


def line(status: dict[str, Any]) -> str:
    """For a log: what there is, and none of what didn't happen."""
    parts = [f"{status['chunks']} chunks", f"{len(status['robots'])} robots"]
    parts += [f"{status[name]} {name}" for name in _COUNTS if status[name]]
    parts += [
        f"infer p50 / p95 {_ms(s['p50_s'], s['p95_s'])}"
        for s in status["stages"]
        if s["name"] == "infer_s"
    ]
    return ", ".join(parts)


def _ms(*seconds: float) -> str:
    return " / ".join(f"{1e3 * s:.1f}" for s in seconds) + " ms"
