"""What Armada raises, as gRPC's status codes with one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import grpc

from robots.errors import ArmadaError, ConfigError, FederationError
from server.rounds.record import NoRoomError, RoundBusyError

_ABSENT = ("round", "version", "file", "schedule")
"""Fields by which something is looked up that isn't there."""


@contextlib.contextmanager
def as_status(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what is raised inside into the status of a call."""
    try:
        yield
    except ArmadaError as error:
        _abort(context, error)


def _abort(context: grpc.ServicerContext, error: ArmadaError) -> NoReturn:
    code = grpc.StatusCode.INTERNAL
    if isinstance(error, ConfigError):
        code = grpc.StatusCode.INVALID_ARGUMENT
    elif isinstance(error, RoundBusyError | NoRoomError):
        code = grpc.StatusCode.FAILED_PRECONDITION
    elif error.field in _ABSENT:
        code = grpc.StatusCode.NOT_FOUND
    elif isinstance(error, FederationError):
        code = grpc.StatusCode.UNAVAILABLE
    context.abort(code, str(error))
    raise AssertionError("abort raises")
