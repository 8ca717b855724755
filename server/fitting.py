"""Lists that fit into one message of gRPC."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

NEWEST = 500
"""Of what grows for ever, such as rounds and releases, the newest are listed."""

MOST_B = 3_500_000
"""A client takes 4 MiB; the rest is for what else the answer holds."""

_FRAME_B = 6
"""What a message costs beside itself as one of a list."""


def fitting[M: Message](messages: Iterable[M]) -> list[M]:
    """As many of ``messages``, from the first on, as an answer has room for; those behind them
    aren't even made."""
    fit: list[M] = []
    room = MOST_B
    for message in messages:
        room -= message.ByteSize() + _FRAME_B
        if room < 0:
            break
        fit.append(message)
    return fit
