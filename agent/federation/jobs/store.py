"""The jobs of one robot: few, in the order in which they came."""

from __future__ import annotations

import builtins
import fcntl
import json
import os
import re
import shutil
import time
from pathlib import Path

from agent.federation.jobs.job import Job
from agent.federation.wire import WORK, Order
from agent.policy import atomic
from robots.errors import FederationError

_NAME = re.compile(rf"\d{{4,10}}-\d{{3,10}}-({'|'.join(WORK)})-[0-9a-f]{{12}}")
_HIDDEN = "."
KEEP = 4
"""Jobs at most: the update of a true-size expert is 100 to 400 MB."""


_LEFT_S = 60.0


class JobStore:
    """The jobs under one folder.

    Args:
        root: ``StateDir.jobs``; it is made when a job is added.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> builtins.list[Job]:
        """Oldest first."""
        if not self.root.is_dir():
            return []
        jobs = [Job(p) for p in self.root.iterdir() if _NAME.fullmatch(p.name)]
        return sorted((j for j in jobs if j.there), key=lambda j: (j.created, j.name))

    def find(self, name: str) -> Job | None:
        """The job of a name, which may come from the network; None: there is none."""
        if not _NAME.fullmatch(name):
            return None
        job = Job(self.root / name)
        return job if job.there else None

    def next(self) -> Job | None:
        """What is to be done: the oldest one that is neither finished nor failed."""
        return next((job for job in self.list() if not job.over), None)

    def add(self, order: Order) -> Job:
        """Keep an order; one that is there already is returned as it is. The oldest that are over
        make room for it.

        Raises:
            FederationError: there are too many that are not over.
            OSError: the disk takes nothing.
        """
        known = self.find(order.job)
        if known is not None:
            return known
        jobs = self.list()
        for old in [job for job in jobs if job.over][: max(0, len(jobs) - KEEP + 1)]:
            self.remove(old.name)
            jobs.remove(old)
        if len(jobs) >= KEEP:
            raise FederationError("are under way already", field="jobs", value=len(jobs))
        self.root.mkdir(parents=True, exist_ok=True)
        hidden = self.root / f"{_HIDDEN}new-{order.job}-{os.getpid()}"
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir()
        record = {"order": dict(order.to_record()), "time": time.time()}
        atomic.write_text(hidden / "order.json", json.dumps(record, allow_nan=False))
        # One that can't be read.
        shutil.rmtree(self.root / order.job, ignore_errors=True)
        hidden.rename(self.root / order.job)
        atomic.sync(self.root)
        return Job(self.root / order.job)

    def remove(self, name: str) -> None:
        """Forget a job, whoever works on it; a name that is none is nothing to forget."""
        job = self.find(name)
        if job is None:
            return
        # Out of sight first: a crash halfway leaves no half job.
        gone = self.root / f"{_HIDDEN}gone-{name}-{os.getpid()}"
        job.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what crashes left behind: what is hidden for longer than anybody needs."""
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            hidden = path.name.startswith((f"{_HIDDEN}new-", f"{_HIDDEN}gone-"))
            if hidden and path.stat().st_mtime < time.time() - _LEFT_S:
                shutil.rmtree(path, ignore_errors=True)

    def lock(self) -> int:
        """Be the only trainer of this robot, until the descriptor is closed.

        Raises:
            FederationError: another one works on its jobs.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".trainer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise FederationError(
                "another trainer works on this robot's jobs", field="jobs", value=self.root
            ) from error
        return descriptor
