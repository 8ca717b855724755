"""The policy server's process: gRPC in the event loop, the model in a thread of its own.

A pass that never ends can't be interrupted: the process ends with status 70 and the service manager
starts another, whose robots open their sessions again by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from agent.policy.load import set_threads
from agent.policy.remote import wire
from agent.proto.policy_pb2 import DESCRIPTOR
from agent.proto.policy_pb2_grpc import add_PolicyServicer_to_server
from robots.errors import ArmadaError, ConfigError, one_line
from server.policy.batcher import Batcher
from server.policy.config import PolicyServerConfig
from server.policy.doors import Doors
from server.policy.gate import Gate
from server.policy.model import Model, Watch, load_model
from server.policy.service import PolicyService
from server.policy.view import status_dict
from server.tokens import Tokens

HUNG = 70
_GRACE_S = 5.0
"""For chunks that are being computed when the server is told to end."""

_WATCH_S = 1.0
_SERVICE = DESCRIPTOR.services_by_name["Policy"].full_name

_CALLS_OF_A_ROBOT = 4
"""A question, one that it has given up, and a session that it opens or leaves."""

_CALLS_BESIDE = 64
"""Status, health, and robots that there is no place for: they are told so."""

_OPTIONS = [
    # Two servers on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", wire.MAX_MESSAGE_B),
    ("grpc.max_send_message_length", wire.MAX_MESSAGE_B),
    # Robots ask every 2 s whether we are there, also when they have nothing else to ask; and gRPC
    # measures their links by pings of its own. By default a server hangs up on such a client.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # And we, less often, whether they are.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
]

logger = logging.getLogger(__name__)

Tell = Callable[[str, dict[str, Any]], None]
"""Gets what happened, and what is known of it."""


def run(config: PolicyServerConfig, tell: Tell) -> int:
    """Serve until SIGINT or SIGTERM; the exit status.

    Raises:
        ArmadaError: refused before anything listened.
    """
    # The loop's handler comes after the first model: until then who reloads would end the process.
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    set_threads(config.threads)
    watch = Watch(config.policy.path)
    model = load_model(config)
    return asyncio.run(Process(config, model, watch, tell, early=early).run())


class Process:
    """One policy server.

    Args:
        config: What was asked for.
        model: Loaded from it.
        watch: Notices another one.
        tell: Hears what happens.
        early: Reloads that were asked for before it could hear of them.
    """

    def __init__(
        self,
        config: PolicyServerConfig,
        model: Model,
        watch: Watch,
        tell: Tell,
        *,
        early: Sequence[int] = (),
    ) -> None:
        self._config = config
        self._watch = watch
        self._tell = tell
        self._early = early
        self._batcher = Batcher(model, max_batch=config.max_batch)
        self._service = PolicyService(
            self._batcher,
            make_doors(config),
            max_robots=config.max_robots,
            policy=config.policy.path,
        )
        self._reload = False
        self._loading: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Serve until SIGINT or SIGTERM; the exit status.

        Raises:
            ConfigError: the address can't be listened on.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
        self._reload = bool(self._early)
        server, healthy, port = make_server(self._config, self._service)
        self._batcher.start()
        await server.start()
        for name in ("", _SERVICE):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._tell_ready(port)
        status = await self._serve(stop)
        self._tell("stopping", {})
        await healthy.enter_graceful_shutdown()
        await server.stop(_GRACE_S)
        self._batcher.end(_GRACE_S)
        loading = self._loading is not None and not self._loading.done()
        if self._batcher.alive or loading:
            # In a pass, or loading: no exit handler would get past that thread.
            os._exit(status)
        return status

    async def _serve(self, stop: asyncio.Event) -> int:
        """Watch over everything until ``stop``."""
        report_at = time.monotonic() + self._config.report_s
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WATCH_S)
            if self._batcher.busy_s > self._config.hang_s or not self._batcher.alive:
                logger.error("the model hangs or is gone: another process must go on")
                return HUNG
            self._service.sweep()
            # One after the other; what serves is watched over meanwhile.
            if self._loading is None and (self._watch.changed() or self._reload):
                self._reload = False
                self._loading = asyncio.create_task(self._swap())
            elif self._loading is not None and self._loading.done():
                self._loading.result()
                self._loading = None
            if time.monotonic() >= report_at:
                report_at = time.monotonic() + self._config.report_s
                self._tell("status", status_dict(self._service.status()))
        return 0

    async def _swap(self) -> None:
        """Load what is there now, beside what serves; that serves on if it doesn't load."""
        before = self._batcher.model.digest
        try:
            model = await asyncio.to_thread(load_model, self._config)
        except Exception as error:
            # Whatever it is that stops it, from a full memory to a runtime that can't compute this
            # model: no robot loses the one that it has.
            logger.error(
                "the new model doesn't load, the old one serves on: %s",
                one_line(error),
                exc_info=not isinstance(error, ArmadaError),
            )
            self._tell("swap_failed", {"cause": one_line(error), "digest": before})
            return
        self._service.swap(model)
        self._tell(
            "swapped",
            {"digest": model.digest, "before": before, "load_s": round(model.load_s, 2)},
        )

    def _ask_reload(self) -> None:
        self._reload = True

    def _tell_ready(self, port: int) -> None:
        model, config = self._batcher.model, self._config
        self._tell(
            "ready",
            {
                "pid": os.getpid(),
                "listen": f"{config.listen.rpartition(':')[0]}:{port}",
                "policy": config.policy.path,
                "digest": model.digest,
                "chunk_size": model.chunk_size,
                "device": model.loaded.device,
                "engine": model.loaded.engine.name,
                "load_s": round(model.load_s, 2),
                "pass_s": round(model.pass_s, 4),
                "tls": config.tls,
                "asks": [
                    *["token"] * bool(config.tokens),
                    *["certificate"] * bool(config.tls_client_ca),
                ],
            },
        )


def make_doors(config: PolicyServerConfig) -> Doors:
    """Who is let in, as the configuration says."""
    tokens = Tokens(Path(config.tokens)) if config.tokens else None
    return Doors(tokens, certificates=bool(config.tls_client_ca))


def make_server(
    config: PolicyServerConfig, service: PolicyService
) -> tuple[grpc.aio.Server, health.aio.HealthServicer, int]:
    """What listens, not yet started; its health service; and its port.

    Raises:
        ConfigError: the address can't be listened on.
    """
    server = grpc.aio.server(
        options=_OPTIONS,
        interceptors=[Gate(_SERVICE, service.doors, service.refuse)],
        # Beyond, gRPC itself says RESOURCE_EXHAUSTED before it reads anything.
        maximum_concurrent_rpcs=_CALLS_OF_A_ROBOT * config.max_robots + _CALLS_BESIDE,
    )
    add_PolicyServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    try:
        if config.tls:
            port = server.add_secure_port(config.listen, _credentials(config))
        else:
            port = server.add_insecure_port(config.listen)
    except RuntimeError as error:
        raise ConfigError(
            "can't be listened on",
            field="--listen",
            value=config.listen,
            remedy="Give a free --listen=HOST:PORT",
        ) from error
    return server, healthy, int(port)


def _credentials(config: PolicyServerConfig) -> grpc.ServerCredentials:
    key, chain = Path(config.tls_key).read_bytes(), Path(config.tls_cert).read_bytes()
    if not config.tls_client_ca:
        return grpc.ssl_server_credentials([(key, chain)])
    return grpc.ssl_server_credentials(
        [(key, chain)],
        root_certificates=Path(config.tls_client_ca).read_bytes(),
        require_client_auth=True,
    )
