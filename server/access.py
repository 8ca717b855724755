"""Who may call the fleet service: operators and robots, each by a token of their own.

Where there is TLS there are tokens: on loopback without either, whoever is on this host may do all.
An operator may call everything. A robot may read and fetch, and start nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

import grpc

from robots.errors import ArmadaError
from server.tokens import Tokens

SERVICE = "armada.fleet.v1.Fleet"

_AUTHORIZATION, _BEARER = "authorization", "bearer "

OPERATORS_ONLY = frozenset(
    {"StartRound", "CancelRound", "SetSchedule", "RemoveSchedule"},
)
"""Calls that change something."""


class Access(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses a call before its message is read.

    Args:
        robots: The robots' tokens.
        operators: The operators' tokens.
    """

    def __init__(self, robots: Tokens, operators: Tokens) -> None:
        self._robots = robots
        self._operators = operators

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE:
            return continuation(handler_call_details)
        try:
            refusal = self._refusal(method, _token(handler_call_details.invocation_metadata))
        except ArmadaError as error:
            refusal = grpc.StatusCode.INTERNAL, str(error)
        if refusal is None:
            return continuation(handler_call_details)
        return _refuse(*refusal)

    def _refusal(self, method: str, token: str | None) -> tuple[grpc.StatusCode, str] | None:
        if token is None:
            return grpc.StatusCode.UNAUTHENTICATED, "this server asks for a token"
        if self._operators.robot(token) is not None:
            return None
        robot = self._robots.robot(token)
        if robot is None:
            return grpc.StatusCode.UNAUTHENTICATED, "the token is none of this server's"
        if method in OPERATORS_ONLY:
            return grpc.StatusCode.PERMISSION_DENIED, f"{method} takes an operator's token"
        return None


def _token(metadata: Iterable[tuple[str, Any]] | None) -> str | None:
    for key, value in metadata or ():
        if key == _AUTHORIZATION and str(value)[: len(_BEARER)].lower() == _BEARER:
            return str(value)[len(_BEARER) :]
    return None


def _refuse(code: grpc.StatusCode, details: str) -> grpc.RpcMethodHandler:
    def refuse(_: Any, context: grpc.ServicerContext) -> None:
        # A robot whose clock is wrong has nobody else to compare it with.
        context.send_initial_metadata((("date", formatdate(usegmt=True)),))
        context.abort(code, details)

    # Whatever the caller would have read, it reads a status: messages of a stream and one alone
    # are the same on the wire.
    return grpc.unary_unary_rpc_method_handler(refuse)
