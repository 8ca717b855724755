"""Who may ask: a robot is known by its token, by its certificate, or, on loopback, by its word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from agent.policy.remote import wire
from robots.errors import ArmadaError
from server.tokens import Tokens

_BEARER = "bearer "


class StrangerError(ArmadaError):
    """Nobody that this server knows."""


class Doors:
    """Lets robots in.

    Args:
        tokens: Whose tokens are good; ``None``: none is asked for.
        certificates: Whether robots show certificates; the transport has checked them by now.
    """

    def __init__(self, tokens: Tokens | None, *, certificates: bool) -> None:
        self._tokens = tokens
        self._certificates = certificates

    def robot(self, context: Any) -> str | None:
        """Who calls; ``None``: whoever it says, since nobody is asked to prove it.

        Args:
            context: gRPC's, of a call.

        Raises:
            StrangerError: no token, a wrong one, or one and a certificate of two robots.
            ConfigError: the tokens file can't be read.
        """
        names = set()
        if (robot := self.check_token(context.invocation_metadata())) is not None:
            names.add(robot)
        if self._certificates:
            names.add(_by_certificate(context))
        if len(names) > 1:
            raise StrangerError("the token is one robot's and the certificate another's")
        return names.pop() if names else None

    def check_token(self, metadata: Iterable[tuple[str, Any]] | None) -> str | None:
        """Whose token a call bears; ``None``: none is asked for.

        Args:
            metadata: Of the call.

        Raises:
            StrangerError: no token, or a wrong one.
            ConfigError: the tokens file can't be read.
        """
        if self._tokens is None:
            return None
        for key, value in metadata or ():
            if key == wire.AUTHORIZATION and value[: len(_BEARER)].lower() == _BEARER:
                robot = self._tokens.robot(value[len(_BEARER) :])
                if robot is None:
                    raise StrangerError("the token is none of this server's")
                return robot
        raise StrangerError(
            "this server asks for a token", remedy="Give --inference.token_env=VARIABLE"
        )


def _by_certificate(context: Any) -> str:
    for name in context.auth_context().get("x509_common_name", ()):
        with contextlib.suppress(UnicodeDecodeError):
            return str(name.decode())
    raise StrangerError("the certificate has no common name")
