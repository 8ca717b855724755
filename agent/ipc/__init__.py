"""How the processes of one robot host talk: a Unix socket for words, shared memory for bulk."""

from agent.ipc.channel import Channel, Message, connect, listen
from agent.ipc.frames import MOST_LOOKED_AT, FrameBuffer, FrameLayout, ImageSpec

__all__ = [
    "MOST_LOOKED_AT",
    "Channel",
    "FrameBuffer",
    "FrameLayout",
    "ImageSpec",
    "Message",
    "connect",
    "listen",
]
