"""The first thing that a call meets: no token, no message is read.

gRPC hands the headers of a call to interceptors before it reads the message, and lets them put
another handler in the place of the one that is meant. One for a stream of messages reads them when
it wants to: this one doesn't want to. Certificates were checked before there was any call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from robots.errors import ArmadaError
from server.policy.doors import Doors

Refuse = Callable[[Any, ArmadaError], Awaitable[Any]]
"""Ends a call (its context) for a reason."""


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without a good token.

    Args:
        service: Whose calls; others' pass.
        doors: Know the tokens.
        refuse: Ends a call.
    """

    def __init__(self, service: str, doors: Doors, refuse: Refuse) -> None:
        self._prefix = f"/{service}/"
        self._doors = doors
        self._refuse = refuse

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        if handler_call_details.method.startswith(self._prefix):
            try:
                self._doors.check_token(handler_call_details.invocation_metadata)
            except ArmadaError as error:
                return self._refusal(error)
        return await continuation(handler_call_details)

    def _refusal(self, error: ArmadaError) -> grpc.RpcMethodHandler:
        async def refuse(_: Any, context: Any) -> None:
            await self._refuse(context, error)

        return grpc.stream_unary_rpc_method_handler(refuse)
