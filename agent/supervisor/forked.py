"""A process that is forked off this one and runs a module as ``python -m`` would (Linux)."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol

_POLL_S = 0.01

type Mask = set[int]
"""Signals that are blocked."""


class Process(Protocol):
    """What a child is, forked or not."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Its exit status, or minus the signal's number, when it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for it.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """

    def send_signal(self, sig: int) -> None:
        """Unless it has ended."""


class Forked:
    """A child of this process.

    Args:
        pid: Its own.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    @property
    def pid(self) -> int:
        return self._pid

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        began = time.monotonic()
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() - began > timeout:
                raise subprocess.TimeoutExpired(f"process {self._pid}", timeout)
            time.sleep(_POLL_S)
        return status

    def send_signal(self, sig: int) -> None:
        # Not to another process that has its number by now.
        if self.poll() is None:
            os.kill(self._pid, sig)


def fork(child: Callable[[Mask], NoReturn]) -> Forked:
    """Fork; ``child`` is what becomes of the copy.

    It begins with all signals blocked, and gets the mask of this process to set when it is ready
    for them. Those that this process handles have their default action there. No object that it
    inherits is ever collected, and what was printed here is not printed there again.

    Raises:
        OSError: no memory or no process is left.
    """
    for stream in (sys.stdout, sys.stderr):
        # Who reads the terminal may be gone.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with _default_signals() as mask:
        # Whoever looks for garbage writes to pages that are shared as long as nobody does.
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            # Nothing of this stack may be unwound: its ``finally``s are the parent's.
            try:
                child(mask)
            finally:
                os._exit(1)
    return Forked(pid)


@contextlib.contextmanager
def _default_signals() -> Iterator[Mask]:
    """None comes meanwhile, and what the fork finds set is what a new interpreter would.

    Set before and not after the fork: what measures coverage begins anew in the child before
    anything else does, and takes SIGTERM.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        yield mask
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
