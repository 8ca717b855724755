"""The server's base policy: what every robot of the fleet starts from, and what stays frozen.

It is imported once into the server's state and never changes there: releases of one base and robots
of another can't be mixed, since each message and each manifest names the digest of the frozen part.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from agent.federation.payload import trained
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.atomic import place, write_text
from agent.policy.merge import copy_policy
from agent.policy.store import WEIGHTS
from robots.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Base:
    """A policy folder and what of it trains.

    Args:
        folder: ``…/base`` in the server's state.
        source: The ``--policy.path`` that it came from.
        digest: Of the whole policy.
        base_digest: Of what training leaves alone.
        trainable_digest: Of the tensors that the fleet trains.
        trains: Which these are.
    """

    folder: Path
    source: str
    digest: str
    base_digest: str
    trainable_digest: str
    trains: TrainsConfig

    @property
    def pretrained_model(self) -> Path:
        return self.folder / "pretrained_model"

    def trainable(self) -> dict[str, Tensor]:
        """The tensors that the fleet trains as it began with them, fp32."""
        return weights.load(self.folder / "trainable.safetensors")


def open_base(folder: Path) -> Base:
    """The base that was imported into ``folder``.

    Raises:
        ModelError: there is none.
    """
    try:
        record = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            "no base policy was imported", field="--state_dir", value=folder.parent
        ) from error
    trains = TrainsConfig(**record.pop("trains"))
    return Base(folder=folder, trains=trains, **record)


def import_base(policy_path: str, folder: Path, trains: TrainsConfig | None = None) -> Base:
    """Copy a policy into the server's state, or find it there.

    Args:
        policy_path: A ``pretrained_model`` folder or a hub id.
        folder: ``…/base``.
        trains: Which tensors the fleet trains; None: those that the policy itself trains.

    Raises:
        ModelError: the policy doesn't load, or trains nothing.
        ConfigError: the state belongs to another base policy.
    """
    if folder.is_dir():
        base = open_base(folder)
        if policy_path and policy_path != base.source:
            raise ConfigError(
                f"this server's state belongs to {base.source}",
                field="--policy.path",
                value=policy_path,
                remedy="Give another --state_dir for another base policy",
            )
        if trains is not None and trains != base.trains:
            raise ConfigError(
                f"this server's state belongs to a fleet with {base.trains}",
                field="--trains",
                value=trains,
                remedy="Give another --state_dir: releases of one can't follow those of the other",
            )
        return base
    if not policy_path:
        raise ConfigError(
            "a new server needs a base policy",
            field="--policy.path",
            remedy="Give a folder or a hub id, such as lerobot/smolvla_base",
        )
    return _import(policy_path, folder, trains or TrainsConfig())


def _import(policy_path: str, folder: Path, trains: TrainsConfig) -> Base:
    from agent.policy.hub import policy_folder

    source = policy_folder(policy_path)
    starts = trained.starts(source, trains)
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy_policy(source, partial / "pretrained_model", home=folder / "pretrained_model")
    weights.save(partial / "trainable.safetensors", starts)
    record = {
        "source": str(policy_path),
        "digest": weights.file_digest(source / WEIGHTS),
        "base_digest": trained.base_digest(source, trains),
        "trainable_digest": weights.digest(starts),
    }
    about = record | {"trains": dataclasses.asdict(trains)}
    write_text(partial / "base.json", json.dumps(about, indent=1))
    place(partial, folder)
    return Base(folder=folder, trains=trains, **record)
