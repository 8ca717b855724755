"""A process's command line, as ``ps`` shows it, for one that was not started by it (Linux)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

_PR_SET_MM = 35
_PR_SET_MM_MAP = 14
_NONE = 0xFFFFFFFF

_FIELDS = {
    "start_code": 26,
    "end_code": 27,
    "start_data": 45,
    "end_data": 46,
    "start_brk": 47,
    "brk": 0,
    "start_stack": 28,
    "arg_start": 48,
    "arg_end": 49,
    "env_start": 50,
    "env_end": 51,
}
"""Of ``prctl_mm_map``, and where in ``/proc/self/stat`` they are, counted from 1."""


class _Map(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in _FIELDS),
        ("auxv", ctypes.c_void_p),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    )


_kept: list[ctypes.Array[ctypes.c_char]] = []
"""The kernel reads it where it lies."""


def show(words: Sequence[str]) -> None:
    """Have this process's command line read ``words``.

    A kernel that can't point to a new one (``CONFIG_CHECKPOINT_RESTORE``) shows as much of it as
    the old one had room for.
    """
    text = b"".join(word.encode(errors="surrogateescape") + b"\0" for word in words)
    buffer = ctypes.create_string_buffer(text, len(text))
    _kept.append(buffer)
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    old, given = _addresses()
    given["brk"] = libc.sbrk(0)
    given["arg_start"] = ctypes.addressof(buffer)
    given["arg_end"] = ctypes.addressof(buffer) + len(text)
    where = _Map(**given, auxv=None, auxv_size=0, exe_fd=_NONE)
    size = ctypes.c_ulong(ctypes.sizeof(where))
    if libc.prctl(_PR_SET_MM, ctypes.c_ulong(_PR_SET_MM_MAP), ctypes.byref(where), size, 0) != 0:
        _write_over(text, *old)


def _addresses() -> tuple[tuple[int, int], dict[str, int]]:
    """Where the command line begins and ends, and all that a map has but ``brk``."""
    # The name of the program, in parentheses, may have spaces.
    after = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    given = {name: int(after[at - 3]) for name, at in _FIELDS.items() if at}
    return (given["arg_start"], given["arg_end"]), given


def _write_over(text: bytes, start: int, end: int) -> None:
    room = end - start
    ctypes.memmove(start, text[: room - 1].ljust(room, b"\0"), room)
