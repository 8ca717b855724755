"""What a training leaves on the disk, so that whoever kills it costs it seconds."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from agent.policy import atomic, weights
from agent.training.episodes import Episodes
from robots.errors import ModelError
from robots.replay.info import DatasetInfo

EVERY_S = 30.0
_SHARE = 10.0
"""Times as long as writing one takes, at least, until the next: at true size it is 1.2 GB."""

_WORDS = "training"


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint.

    Args:
        tensors: The learner's.
        losses: Of the steps that are done.
        error_before: Held-out error of what the round began with, if there are held-out episodes.
        seconds: What it took until then.
    """

    tensors: dict[str, Tensor]
    losses: list[float]
    error_before: float | None
    seconds: float


class Checkpoints:
    """The checkpoint of one training, and the episodes that it began with.

    Args:
        folder: Where they lie; it is there.
        every_s: How often, s.
    """

    def __init__(self, folder: Path, every_s: float = EVERY_S) -> None:
        self._folder = folder
        self._every_s = every_s
        self._due = time.monotonic() + every_s

    def episodes(self, info: DatasetInfo, *, unclean: bool = False) -> Episodes:
        """Those that were chosen at the beginning, with the numbers that they have now; the
        arguments are those of :meth:`Episodes.choose`.

        Raises:
            DataError: one of them is gone, or there is none to train on.
        """
        path = self._folder / "episodes.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            chosen = Episodes.choose(info, unclean=unclean)
            atomic.write_text(path, json.dumps(chosen.to_json()))
            return chosen
        return Episodes.from_json(json.loads(text)).found(info)

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._due

    def save(self, saved: Saved) -> None:
        """Put a checkpoint in the place of the one before."""
        words = {
            "losses": saved.losses,
            "error_before": saved.error_before,
            "seconds": saved.seconds,
        }
        began = time.monotonic()
        weights.save(self._path, saved.tensors, {_WORDS: json.dumps(words)})
        took = time.monotonic() - began
        self._due = time.monotonic() + max(self._every_s, _SHARE * took)

    def load(self) -> Saved | None:
        """The last one.

        Raises:
            ModelError: it can't be read.
        """
        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                words: dict[str, Any] = json.loads(file.metadata()[_WORDS])
            return Saved(tensors=weights.load(self._path), **words)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"can't be read: {error}", field="checkpoint", value=self._path
            ) from error

    @property
    def _path(self) -> Path:
        return self._folder / "checkpoint.safetensors"
