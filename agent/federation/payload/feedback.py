"""Error feedback: what rounding took from an update is added to the robot's next one.

So nothing is lost for good, only late: with 8 bits and feedback SGD converges as with 32
(Seide et al. 2014; Karimireddy et al., arXiv:1901.09847).

::

    residual/
    ├── kept.safetensors             what updates that the server has left behind
    └── after-<job>.safetensors      what the update of this job leaves, if the server gets it

The rule that keeps everything from counting twice: the update of a job is made from ``kept``, and
``kept`` changes only when the server says that it has that update. So a job that is done again
yields the same update, one that is sent again is the same file, and a second acknowledgement finds
nothing to do. An update that the server never gets leaves no trace: its rounding error is dropped
with it, and so is what it learned, for the next job starts from other weights and learns it anew.
If the next update is made before the server has said anything, the earlier one counts as lost.

The residual belongs to one base policy, one choice of what is trained and these shapes; with
another it is dropped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from agent.federation.payload.spec import TrainsConfig
from agent.policy import atomic
from agent.policy.tensor_writer import TensorWriter, writing
from robots.errors import ModelError

_KEPT = "kept.safetensors"
_AFTER = "after-{job}.safetensors"
_BELONGS = "belongs"


class Residual:
    """What a robot's updates have lost so far.

    Args:
        folder: Its own; it is made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def feedback(
        self, job: str, start: Mapping[str, Tensor], *, base_digest: str, trains: TrainsConfig
    ) -> Iterator[JobFeedback]:
        """What :func:`agent.federation.payload.codec.encode` takes, for one job.

        What the update leaves is on the disk when the context ends without an exception.

        Args:
            job: The job's name.
            start: The tensors that it started from: names and shapes.
            base_digest: The base policy's.
            trains: What is trained.

        Raises:
            ModelError: what was kept can't be read.
        """
        belongs = json.dumps([base_digest, dataclasses.asdict(trains)], sort_keys=True)
        shapes = {name: list(start[name].shape) for name in start}
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*.tmp"):
            leftover.unlink()
        after = self._folder / _AFTER.format(job=job)
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(self._open(shapes, belongs))
            writer = stack.enter_context(writing(after, shapes, {_BELONGS: belongs}))
            yield JobFeedback(kept, writer)
        for path in self._folder.glob(_AFTER.format(job="*")):
            if path != after:
                path.unlink(missing_ok=True)

    def received(self, jobs: Iterable[str]) -> None:
        """The server has the updates of these jobs."""
        names = {_AFTER.format(job=job) for job in jobs}
        for path in self._folder.glob(_AFTER.format(job="*")):
            if path.name in names:
                path.replace(self._folder / _KEPT)
                atomic.sync(self._folder)

    @contextlib.contextmanager
    def _open(self, shapes: Mapping[str, list[int]], belongs: str) -> Iterator[Any]:
        """The kept tensors, or None if there are none or they belong to something else."""
        path = self._folder / _KEPT
        if not path.is_file():
            yield None
            return
        try:
            file: Any = safe_open(path, framework="pt")
            known = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            same = known == shapes and (file.metadata() or {}).get(_BELONGS) == belongs
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"can't be read: {error}",
                field="residual",
                value=path,
                remedy="Delete it: what is lost is the rounding error of one update",
            ) from error
        with file:
            yield file if same else None


class JobFeedback:
    """The feedback of one job; see :class:`agent.federation.payload.codec.Feedback`."""

    def __init__(self, kept: Any, writer: TensorWriter) -> None:
        self._kept = kept
        self._writer = writer

    def before(self, name: str) -> Tensor | None:
        if self._kept is None:
            return None
        tensor: Tensor = self._kept.get_tensor(name)
        return tensor

    def after(self, name: str, residual: Tensor) -> None:
        self._writer.write(name, residual)
