"""An accepted update on the server's disk, and its way back, one tensor at a time."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from agent.federation.payload import codec
from agent.policy import weights
from agent.policy.atomic import write_text
from robots.errors import FederationError
from server.aggregation.tensor_file import TensorFile


@dataclass(frozen=True, kw_only=True)
class StoredUpdate:
    """What a robot learned in a job, ``….safetensors`` as it travelled, and ``….json`` beside it.

    The JSON is written last: where it stands, the update is whole.

    Args:
        path: Of the safetensors file.
        robot: The robot's name.
        node: Its Flower node, which may change when it registers anew.
        job: The job's name.
        samples: Frames that it trained on.
        encoding: How it travelled, one of ``payload.spec.ENCODINGS``.
        start_digest: Of the weights that it started from.
        update_digest: Of the tensors as they travelled.
        norm: L2 norm of the change.
        relative_norm: The same by that of the weights that it changes.
        staleness: How many rounds it came late.
        start_file: The weights that it started from, relative to the folder of ``path``; empty:
            those of the round that it is aggregated in.
        report: What the robot said of itself.
    """

    path: Path
    robot: str
    node: str
    job: str
    samples: int
    encoding: str
    start_digest: str
    update_digest: str
    norm: float
    relative_norm: float
    staleness: int = 0
    start_file: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def write(
        cls,
        path: Path,
        wire: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
        *,
        robot: str,
        node: str,
        job: str,
        samples: int,
        encoding: str,
        start_digest: str,
        update_digest: str,
        length: float | None = None,
        staleness: int = 0,
        start_file: Path | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> StoredUpdate:
        """Check an update and put it on the disk.

        Args:
            path: Where to; ends in ``.safetensors``.
            wire: As it travelled.
            start: The weights that it started from.
            length: What ``relative_norm`` is relative to, as ``payload.trained.length`` says; None:
                the length of ``start``.
            start_file: Where those are kept, if they aren't the ones of the round that the update
                is aggregated in: a late update.

        Raises:
            ModelError: it is none that a robot of this fleet could have meant; nothing is written.
        """
        changed = codec.check_wire(wire, start, encoding)
        length = codec.length(start) if length is None else length
        update = cls(
            path=path,
            robot=robot,
            node=node,
            job=job,
            samples=samples,
            encoding=encoding,
            start_digest=start_digest,
            update_digest=update_digest,
            norm=changed,
            relative_norm=changed / length if length else math.inf if changed else 0.0,
            staleness=staleness,
            start_file=os.path.relpath(start_file, path.parent) if start_file else "",
            report=dict(report or {}),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).unlink(missing_ok=True)
        weights.save(path, wire)
        values = dataclasses.asdict(update)
        del values["path"]
        write_text(_beside(path), json.dumps(values, indent=1, sort_keys=True) + "\n")
        return update

    @classmethod
    def read(cls, path: Path) -> StoredUpdate:
        """Of the safetensors file at ``path`` and the JSON beside it.

        Raises:
            FederationError: one of them is missing or isn't what ``write`` wrote.
        """
        try:
            values = json.loads(_beside(path).read_text(encoding="utf-8"))
            update = cls(path=path, **values)
        except (OSError, ValueError, TypeError) as error:
            raise FederationError(
                f"the update can't be read: {error}", field="update", value=path
            ) from error
        if not path.is_file():
            raise FederationError("the update has no tensors", field="update", value=path)
        return update

    @classmethod
    def read_all(cls, folder: Path) -> list[StoredUpdate]:
        """Those that are whole, in order of robot and job; none where there is no folder.

        Raises:
            FederationError: one of them isn't what ``write`` wrote.
        """
        found = [cls.read(p.with_suffix(".safetensors")) for p in folder.glob("[!.]*.json")]
        return sorted(found, key=lambda update: (update.robot, update.job))

    def delta(self, name: str, start: Mapping[str, Tensor], scale: float = 1.0) -> Tensor:
        """What the robot changed of one tensor, fp32; the caller may write into it.

        Args:
            name: Which.
            start: The weights of the round; a late update is set against its own.
            scale: What the change is multiplied by.

        Raises:
            ModelError: a file can't be read.
        """
        origin = TensorFile(self.path.parent / self.start_file) if self.start_file else start
        return codec.delta(TensorFile(self.path), name, origin, self.encoding, scale=scale)

    def weight(self, staleness_exponent: float) -> float:
        """Samples, less for each round that it came late: FedAsync's (1 + s)^-a,
        arXiv:1903.03934."""
        return self.samples * math.pow(1 + self.staleness, -staleness_exponent)


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")
