"""One supervised process: started, watched, restarted with back-off, ended."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from agent.supervisor.forkable import inherited, why_not
from agent.supervisor.forked import Forked, Mask, Process, fork
from agent.supervisor.logfile import EVERY_S, open_log, shorten
from agent.supervisor.offspring import become

logger = logging.getLogger(__name__)

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
        log: File that takes its stdout and stderr, and is emptied now and then (``logfile``).
        env: Added to the environment.
        keep: File descriptors that it inherits.
        nice: Added to its niceness, from its first instruction on: importing PyTorch is work too.
        hears_stops: Whether SIGUSR1 stops it (control, which unblocks it as soon as it can be
            obeyed); all others, and what they start, ignore it: a service manager may send it to
            every process of the agent.
        forks: Whether it may begin as a copy of the supervisor, with what that has imported
            (``forkable``); its command line is then ``python -m module …``.
        dies_by: What it gets when the supervisor dies (Linux); SIGKILL for one that may be stopped
            by SIGSTOP then, and would hear nothing else.
    """

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[int, ...] = ()
    nice: int = 0
    hears_stops: bool = False
    forks: bool = False
    dies_by: signal.Signals = signal.SIGTERM


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
        self._process: Process | None = None
        self._started = 0.0
        self._quick_exits = 0
        self._not_before = 0.0
        self._unproved = False
        self._next_look = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it, in a session of its own (a Ctrl-C in the terminal is the supervisor's to
        handle) and bound to die with the supervisor (Linux)."""
        with open_log(self.spec.log) as log:
            self._process = self._fork(log) or subprocess.Popen(
                list(self.spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited(), **self.spec.env},
                pass_fds=self.spec.keep,
                start_new_session=True,
                preexec_fn=functools.partial(_before_start, self.spec),
            )
        self._started = time.monotonic()
        self._unproved = True

    def try_start(self) -> bool:
        """Start it; when no memory or no process is left for it, ``restart_when_due`` will.
        Whether it was started."""
        try:
            self.start()
        except OSError as error:
            logger.warning("%s can't be started now: %s", self.spec.name, error)
            self._back_off(0.0)
            return False
        return True

    def poll(self) -> Exit | None:
        """How it ended, once, when it has."""
        if self._process is None:
            return None
        if (status := self._process.poll()) is None:
            self._look_at_log()
            return None
        lived = time.monotonic() - self._started
        self._process = None
        self._back_off(lived)
        return Exit(status, lived)

    def proved(self) -> None:
        """It has shown that it can work: should it end, the next restart is quick."""
        self._quick_exits = 0
        self._unproved = False

    def overdue(self, limit_s: float) -> bool:
        """Whether it runs for longer than that and has not proved itself; said once."""
        if self._process is None or time.monotonic() - self._started <= limit_s:
            return False
        overdue, self._unproved = self._unproved, False
        return overdue

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
        if not self.try_start():
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

    def _fork(self, log: BinaryIO) -> Forked | None:
        if not self.spec.forks or not _can_fork():
            return None
        parent = os.getpid()

        def child(mask: Mask) -> NoReturn:
            os.setsid()
            # One that it hears waits, blocked; to one that it doesn't it is deaf by then.
            signal.pthread_sigmask(signal.SIG_SETMASK, mask | {signal.SIGUSR1})
            _before_start(self.spec)
            if os.getppid() != parent:
                # It died before it could tell.
                os._exit(1)
            if not self.spec.hears_stops:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            become(self.spec.argv, env=self.spec.env, log=log.fileno(), keep=self.spec.keep)

        try:
            return fork(child)
        except OSError:
            # It has more memory than what starts afresh: perhaps there is enough for that.
            return None

    def _look_at_log(self) -> None:
        """Only while it runs: what it said last tells why it ended."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + EVERY_S
            shorten(self.spec.log)

    def _back_off(self, lived_s: float) -> None:
        self._quick_exits = 0 if lived_s > _STABLE_S else self._quick_exits + 1
        wait_s = _BACK_OFF_S[min(max(1, self._quick_exits), len(_BACK_OFF_S)) - 1]
        self._not_before = time.monotonic() + wait_s


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """In the child, before it runs: a signal when the supervisor dies, however it dies (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


@functools.cache
def _say_once(reason: str) -> None:
    logger.warning("processes start afresh and slowly, not as copies of this one: %s", reason)


def _can_fork() -> bool:
    reason = why_not()
    if reason is not None and sys.platform == "linux":
        _say_once(reason)
    return reason is None


def _before_start(spec: ChildSpec) -> None:
    if spec.hears_stops:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    else:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if spec.nice:
        os.nice(spec.nice)
    if sys.platform == "linux":
        die_with_parent(spec.dies_by)
