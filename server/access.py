"""Who may call the fleet service: operators and robots, each by a token of their own.

Where there is TLS there are tokens: on loopback without either, whoever is on this host may do all.
An operator may call everything; who it was is what the token says, whatever the message says. A
robot may read and fetch, and start nothing.
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
"""Calls that change something; each message says in ``by`` who does it."""


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
        token = _token(handler_call_details.invocation_metadata)
        try:
            operator = self._operators.robot(token) if token is not None else None
            refusal = None if operator is not None else self._refusal(method, token)
        except ArmadaError as error:
            refusal = grpc.StatusCode.INTERNAL, str(error)
        if refusal is not None:
            return _refuse(*refusal)
        handler = continuation(handler_call_details)
        if operator is not None and method in OPERATORS_ONLY:
            return _in_the_name_of(operator, handler)
        return handler

    def _refusal(self, method: str, token: str | None) -> tuple[grpc.StatusCode, str] | None:
        """Why whoever is no operator is refused; None: it isn't."""
        if token is None:
            return grpc.StatusCode.UNAUTHENTICATED, "this server asks for a token"
        robot = self._robots.robot(token)
        if robot is None:
            return grpc.StatusCode.UNAUTHENTICATED, "the token is none of this server's"
        if method in OPERATORS_ONLY:
            return grpc.StatusCode.PERMISSION_DENIED, f"{method} takes an operator's token"
        return None


def _in_the_name_of(operator: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        request.by = operator
        return handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(
        call, handler.request_deserializer, handler.response_serializer
    )


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
