"""One model of a store: what is recorded of it, and whether it is still that."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.policy import atomic
from agent.policy.fingerprint import OBJECT, model_files
from robots.errors import ModelError

Origin = str | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """One object of the store.

    Args:
        path: Its folder, which LeRobot loads.
        digest: Of all its tensors as they lie in the file.
        base_digest: Of the tensors that training leaves alone, as fp32.
        trainable_digest: Of those that training changes, as fp32.
        origin: Where it came from: a path, a hub id, or what is known of a release.
        parent: Digest of the model that it was made from, if any.
        source: Digest of the folder that was added, all its files.
        created: Unix time of the adding.
        files: sha256 of each file.
    """

    path: Path
    digest: str
    base_digest: str
    trainable_digest: str
    origin: Origin
    parent: str | None
    source: str
    created: float
    files: dict[str, str] = field(repr=False)

    @property
    def short(self) -> str:
        """Enough of the digest to name it."""
        return self.digest.removeprefix("sha256:")[:12]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}

    def verify(self) -> None:
        """Read every file and compare it with what was added.

        Raises:
            ModelError: a file is missing, was changed or is one too many.
        """
        present = model_files(self.path)
        for name in sorted(self.files.keys() | set(present)):
            if name not in present:
                problem = "is missing"
            elif name not in self.files:
                problem = "was not there when the model was added"
            elif atomic.sha256(self.path / name) != self.files[name]:
                problem = "is not what was added: its bytes have changed"
            else:
                continue
            raise ModelError(
                f"the file {name} {problem}",
                field="model",
                value=self.short,
                remedy="Roll back to another model, or add or pull this one again",
            )


def read_model(folder: Path) -> StoredModel:
    """The model whose folder this is.

    Raises:
        ModelError: there is none, or its record was damaged.
    """
    try:
        data = json.loads((folder / OBJECT).read_text(encoding="utf-8"))
        return StoredModel(path=folder, **data)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"isn't the record of a model: {error}", field="model", value=folder / OBJECT
        ) from error
