"""How the processes of one robot host talk: a Unix socket for words, shared memory for bulk."""

from agent.ipc.channel import Channel, Message, connect, listen
from agent.ipc.frames import (
    FRAME_FAULT,
    FRAME_INTERVENTION,
    MOST_LOOKED_AT,
    FrameBuffer,
    FrameLayout,
    ImageSpec,
)

__all__ = [
    "FRAME_FAULT",
    "FRAME_INTERVENTION",
    "MOST_LOOKED_AT",
    "Channel",
    "FrameBuffer",
    "FrameLayout",
    "ImageSpec",
    "Message",
    "connect",
    "listen",
]
