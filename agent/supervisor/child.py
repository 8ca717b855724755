"""One supervised process: started, watched, restarted with back-off, ended."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_BACK_OFF_S = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_S = 60.0
"""A child that lived this long is taken for healthy: its next restart is quick again."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run.

    Args:
        name: For logs and events.
        argv: Command line.
        log: File that takes its stdout and stderr.
        env: Added to the environment.
        keep: File descriptors that it inherits.
        nice: Added to its niceness, from its first instruction on: importing PyTorch is work too.
        hears_stops: Whether SIGUSR1 stops it (control, which unblocks it as soon as it can be
            obeyed); all others, and what they start, ignore it: a service manager may send it to
            every process of the agent.
    """

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[int, ...] = ()
    nice: int = 0
    hears_stops: bool = False


@dataclass(frozen=True)
class Exit:
    """How a child ended: ``status`` is its exit status, or minus the signal's number."""

    status: int
    lived_s: float

    def __str__(self) -> str:
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"exited with status {self.status}"


class Child:
    """A process and its restarts.

    Args:
        spec: What to run.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._quick_exits = 0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it, in a session of its own (a Ctrl-C in the terminal is the supervisor's to
        handle) and bound to die with the supervisor (Linux)."""
        with self._log() as log:
            self._process = subprocess.Popen(
                list(self.spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.spec.env},
                pass_fds=self.spec.keep,
                start_new_session=True,
                preexec_fn=functools.partial(_before_exec, self.spec),
            )
        self._started = time.monotonic()

    def poll(self) -> Exit | None:
        """How it ended, once, when it has."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        lived = time.monotonic() - self._started
        self._process = None
        self._back_off(lived)
        return Exit(status, lived)

    def proved(self) -> None:
        """It has shown that it can work: should it end, the next restart is quick."""
        self._quick_exits = 0

    def wait(self, timeout_s: float) -> Exit | None:
        """Wait for its end; ``None`` when it doesn't come in time."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        return self.poll()

    def restart_when_due(self) -> bool:
        """Start it again if it is down and the back-off is over; whether it was started."""
        if self._process is not None or time.monotonic() < self._not_before:
            return False
        try:
            self.start()
        except OSError:
            # No memory or no process is left for it: later, perhaps.
            self._back_off(0.0)
            return False
        self.restarts += 1
        return True

    def tell(self, number: signal.Signals) -> None:
        """A signal to itself, not to what it started."""
        if self._process is not None:
            self._process.send_signal(number)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            # Its whole session: a SuperNode's ClientApp goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self, grace_s: float) -> Exit | None:
        """SIGTERM, and SIGKILL for what is left after ``grace_s``; how it ended, if it ran."""
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.signal(signal.SIGKILL)
        status = self._process.wait()
        self._process = None
        return Exit(status, time.monotonic() - self._started)

    def _log(self) -> BinaryIO:
        try:
            return self.spec.log.open("ab")
        except OSError:
            # A disk that is full or broken: it runs without.
            return Path(os.devnull).open("ab")

    def _back_off(self, lived_s: float) -> None:
        self._quick_exits = 0 if lived_s > _STABLE_S else self._quick_exits + 1
        wait_s = _BACK_OFF_S[max(0, min(self._quick_exits, len(_BACK_OFF_S)) - 1)]
        self._not_before = time.monotonic() + wait_s


def die_with_parent() -> None:
    """In the child, before exec: SIGTERM when the supervisor dies, however it dies (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _before_exec(spec: ChildSpec) -> None:
    if spec.hears_stops:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    else:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if spec.nice:
        os.nice(spec.nice)
    if sys.platform == "linux":
        die_with_parent()
