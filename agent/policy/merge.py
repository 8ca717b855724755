"""A policy folder with some of its tensors replaced: still a plain LeRobot folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from agent.policy import weights
from agent.policy.fingerprint import OBJECT, VLM
from agent.policy.store import WEIGHTS
from robots.errors import ModelError


def merge(base: Path, tensors: Mapping[str, Tensor], out: Path, *, home: Path | None = None) -> str:
    """Write ``out``: the folder ``base`` with ``tensors`` in place of its own.

    Args:
        base: A ``pretrained_model`` folder.
        tensors: Some of its tensors by name, same shapes.
        out: The folder to make.
        home: Where ``out`` is moved to afterwards, if it is.

    Returns:
        The digest of the new weights.

    Raises:
        ModelError: a tensor that the base hasn't, or of another shape; ``out`` isn't there then.
    """
    merged = weights.load(base / WEIGHTS)
    for name, tensor in tensors.items():
        if name not in merged:
            raise ModelError("the base policy has no such tensor", field="tensor", value=name)
        if merged[name].shape != tensor.shape:
            raise ModelError(
                f"has shape {tuple(tensor.shape)}, the base's has {tuple(merged[name].shape)}",
                field="tensor",
                value=name,
            )
        merged[name] = tensor.detach().cpu().contiguous()
    copy_policy(base, out, skip_weights=True, home=home)
    # LeRobot's loader asks for this mark.
    weights.save(out / WEIGHTS, merged, metadata={"format": "pt"})
    return weights.digest(merged)


def copy_policy(
    source: Path, out: Path, *, skip_weights: bool = False, home: Path | None = None
) -> None:
    """Copy a policy folder so that plain LeRobot loads it where it now lies.

    A policy that brings its VLM configuration and tokenizer names them by an absolute path, which
    is rewritten for the copy. Hidden files and a model store's record stay behind.

    Args:
        source: The folder to copy.
        out: The folder to make.
        skip_weights: Leave the weights file out.
        home: Where ``out`` is moved to afterwards, if it is: the path is written for there.
    """
    left = (".*", OBJECT, WEIGHTS) if skip_weights else (".*", OBJECT)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns(*left))
    if not (out / VLM).is_dir():
        return
    vlm = str((home or out).resolve() / VLM)
    for path, rewrite in ((out / "config.json", _config), (out / _PRE, _preprocessor)):
        if path.is_file():
            data = json.loads(path.read_text(encoding="utf-8"))
            rewrite(data, vlm)
            path.write_text(json.dumps(data, indent=4), encoding="utf-8")


_PRE = "policy_preprocessor.json"


def _config(data: dict[str, object], vlm: str) -> None:
    data["vlm_model_name"] = vlm


def _preprocessor(data: dict[str, list[dict[str, dict[str, object]]]], vlm: str) -> None:
    for step in data["steps"]:
        if "tokenizer_name" in step["config"]:
            step["config"]["tokenizer_name"] = vlm
