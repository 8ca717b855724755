"""How the processes of one robot host talk: a Unix socket for words, shared memory for bulk."""

from agent.ipc.channel import Channel, Message, connect, listen
from agent.ipc.frames import FrameBuffer, FrameLayout, ImageSpec

__all__ = ["Channel", "FrameBuffer", "FrameLayout", "ImageSpec", "Message", "connect", "listen"]
