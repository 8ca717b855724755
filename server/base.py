"""The server's base policy: what every robot of the fleet starts from, and what stays frozen.

It is imported once into the server's state and never changes there: releases of one base and robots
of another can't be mixed, since each message and each manifest names the digest of the frozen part.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from agent.policy import weights
from agent.policy.atomic import write_text
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
        base_digest: Of the frozen tensors.
        trainable_digest: Of the trainable tensors.
    """

    folder: Path
    source: str
    digest: str
    base_digest: str
    trainable_digest: str

    @property
    def pretrained_model(self) -> Path:
        return self.folder / "pretrained_model"

    def trainable(self) -> dict[str, Tensor]:
        """The trainable tensors, fp32 as they travel."""
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
    return Base(folder=folder, **record)


def import_base(policy_path: str, folder: Path) -> Base:
    """Copy a policy into the server's state, or find it there.

    Args:
        policy_path: A ``pretrained_model`` folder or a hub id.
        folder: ``…/base``.

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
        return base
    if not policy_path:
        raise ConfigError(
            "a new server needs a base policy",
            field="--policy.path",
            remedy="Give a folder or a hub id, such as lerobot/smolvla_base",
        )
    return _import(policy_path, folder)


def _import(policy_path: str, folder: Path) -> Base:
    from agent.policy.hub import policy_folder
    from agent.policy.parts import trainable_names

    source = policy_folder(policy_path)
    names = trainable_names(source)
    if not names:
        raise ModelError("has no trainable tensors", field="--policy.path", value=policy_path)
    trainable_digest, base_digest = weights.file_digest_parts(source / WEIGHTS, names)
    whole = weights.load(source / WEIGHTS)
    trainable = {name: whole[name].float() for name in names}
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy_policy(source, partial / "pretrained_model", home=folder / "pretrained_model")
    weights.save(partial / "trainable.safetensors", trainable)
    record = {
        "source": str(policy_path),
        "digest": weights.digest(whole),
        "base_digest": base_digest,
        "trainable_digest": trainable_digest,
    }
    write_text(partial / "base.json", json.dumps(record, indent=1))
    partial.rename(folder)
    return Base(folder=folder, **record)
