"""One job's folder.

::

    <job>/
    ├── order.json               as it came
    ├── progress.json            how far it is
    ├── note.json                why it doesn't get on at the moment
    ├── attempts.json            how often it was begun without getting on
    ├── episodes.json            what it trains on
    ├── checkpoint.safetensors   where it goes on after it was killed
    ├── start.safetensors        weights to start from, if they had to be fetched
    ├── update.safetensors       what travels
    ├── result.json              what there is to say: it is finished
    └── failed.json              why it never will be

Each file is there whole or not at all, and the job is finished or failed from the moment at which
one of the last two is there: whoever is killed in between has done nothing.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.federation.wire import Order
from agent.policy import atomic
from robots.errors import ArmadaError, FederationError

CHECKPOINT = "checkpoint.safetensors"
"""As :mod:`agent.training.checkpoint` names it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is.

    Args:
        step: Optimiser steps done.
        steps: Of how many.
        loss: Of the last.
    """

    step: int = 0
    steps: int = 0
    loss: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often a job was begun.

    Args:
        count: Since its checkpoint was last written.
        checkpoint: When that was, ns since 1970; 0: never.
    """

    count: int = 0
    checkpoint: int = 0


class Job:
    """A job on the disk.

    Args:
        folder: Its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def there(self) -> bool:
        """Whether nobody has removed it."""
        return "order" in self._read("order.json")

    @property
    def order(self) -> Order:
        """What was ordered.

        Raises:
            FederationError: the job was removed.
            FederationError, ConfigError: it is of a newer or an older agent.
        """
        record = self._read("order.json").get("order")
        if not isinstance(record, dict):
            raise FederationError("was removed", field="job", value=self.name)
        return Order.from_record(record)

    @property
    def understood(self) -> bool:
        """Whether this agent can read what was ordered: one of another release may not."""
        try:
            return bool(self.order.job)
        except ArmadaError:
            return False

    @property
    def created(self) -> float:
        """When it was ordered, s since 1970."""
        return float(self._read("order.json").get("time", 0.0))

    @property
    def result(self) -> dict[str, Any] | None:
        """What a finished one has to say."""
        return self._read("result.json") or None

    @property
    def failed(self) -> str:
        """Why it failed; empty: it didn't."""
        return str(self._read("failed.json").get("reason", ""))

    @property
    def over(self) -> bool:
        """Whether it is finished or failed."""
        return self.result is not None or bool(self.failed)

    @property
    def progress(self) -> Progress:
        return Progress(**self._read("progress.json"))

    @property
    def note(self) -> str:
        """Why it doesn't get on at the moment; empty: it does."""
        return str(self._read("note.json").get("reason", ""))

    @property
    def attempts(self) -> Attempts:
        return Attempts(**self._read("attempts.json"))

    @property
    def checkpoint(self) -> int:
        """When its checkpoint was written, ns since 1970; 0: there is none."""
        try:
            return (self.folder / CHECKPOINT).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    @property
    def update(self) -> Path:
        return self.folder / "update.safetensors"

    @property
    def start(self) -> Path:
        return self.folder / "start.safetensors"

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Write one of the records above, whole or not at all.

        Raises:
            FederationError: somebody has removed the job meanwhile.
        """
        try:
            atomic.write_text(self.folder / f"{name}.json", json.dumps(values, allow_nan=False))
        except FileNotFoundError as error:
            raise FederationError("was removed", field="job", value=self.name) from error

    def note_that(self, reason: str) -> None:
        """Say why it doesn't get on; empty: it does."""
        if reason != self.note:
            self.write("note", {"reason": reason})

    def _read(self, name: str) -> dict[str, Any]:
        try:
            values = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError:
            values = None
        if not isinstance(values, dict):
            # A disk that forgets: what is done again from what is left costs time, not the robot.
            logger.warning("%s can't be read: it counts as not there", self.folder / name)
            return {}
        return values
