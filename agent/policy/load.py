"""Loads a policy and its processors through LeRobot. Whether it fits the robot: ``fit``.

A policy is a LeRobot ``pretrained_model`` folder or a hub id. One that brings its own VLM
configuration and tokenizer in a folder ``vlm/`` (the tiny one does) uses that, wherever it lies.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from draccus.utils import DraccusException
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from lerobot.configs import NormalizationMode, PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import NormalizerProcessorStep, UnnormalizerProcessorStep
from lerobot.processor.pipeline import ProcessorMigrationError
from lerobot.utils.device_utils import auto_select_torch_device, is_torch_device_available
from safetensors import SafetensorError
from transformers.initialization import no_init_weights

from agent.policy import weights
from agent.policy.engines.base import Engine
from agent.policy.engines.plain import PlainEngine
from agent.policy.fit import ACTION_NAMES, action_names, check_fit
from robots.errors import ModelError

WEIGHTS = "model.safetensors"
PREPROCESSOR = "policy_preprocessor.json"
VLM = "vlm"
"""Folder of a policy's own VLM configuration and tokenizer."""

__all__ = [
    "ACTION_NAMES",
    "VLM",
    "WEIGHTS",
    "LoadedPolicy",
    "action_names",
    "check_fit",
    "count_parameters",
    "load_policy",
    "read_config",
    "read_stats",
    "set_threads",
    "weights_file",
]

_HUB_ERRORS = (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError)
_LOAD_ERRORS = (
    *_HUB_ERRORS,
    SafetensorError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What LeRobot and those that it asks raise for files that are not what they should be."""

_FILES = ("*.safetensors", "*.json", f"{VLM}/*.json")


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that is ready to be asked or trained.

    Args:
        policy: LeRobot's module, in evaluation mode.
        preprocess, postprocess: LeRobot's pipelines.
        config: Its configuration.
        device: Where it is.
        digest: Of its weights file.
        engine: What computes its chunks.
    """

    policy: PreTrainedPolicy
    preprocess: Any
    postprocess: Any
    config: PreTrainedConfig
    device: str
    digest: str
    engine: Engine


def read_config(path: str, overrides: Sequence[str] = ()) -> PreTrainedConfig:
    """Read a policy's configuration.

    Args:
        path: Folder or hub id.
        overrides: ``name=value`` for fields of that configuration.

    Raises:
        ModelError: no such policy, or an unreadable configuration or override.
    """
    # Registers all policy types, so that any config.json is understood.
    importlib.import_module("lerobot.policies")
    importlib.import_module("lerobot.policies.smolvla.configuration_smolvla")
    _check_folder(path)
    try:
        config: PreTrainedConfig = PreTrainedConfig.from_pretrained(
            path, cli_overrides=[f"--{o}" for o in overrides]
        )
    except _HUB_ERRORS as error:
        raise ModelError(
            "is neither a folder nor a policy that the hub or its cache has",
            field="--policy.path",
            value=path,
            remedy="Name a LeRobot pretrained_model folder or a hub id",
        ) from error
    except (DraccusException, *_LOAD_ERRORS, SystemExit) as error:
        raise _unusable("its configuration can't be used", path, error, "config.json") from error
    if getattr(config, "vlm_model_name", None) and (Path(path) / VLM).is_dir():
        config.vlm_model_name = str((Path(path) / VLM).resolve())
        config.load_vlm_weights = False
    config.pretrained_path = Path(path)
    return config


def _check_folder(path: str) -> None:
    folder = Path(path)
    if not folder.is_dir():
        return
    for name in ("config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(
                f"the folder has no {name}",
                field="--policy.path",
                value=path,
                remedy="Name a LeRobot pretrained_model folder",
            )


def load_policy(
    path: str,
    *,
    device: str | None = None,
    processors: Path | None = None,
    dataset_stats: Mapping[str, Mapping[str, Any]] | None = None,
    overrides: Sequence[str] = (),
) -> LoadedPolicy:
    """Load a policy with its processors.

    Args:
        path: Folder or hub id.
        device: cuda, mps or cpu; ``None``: the configuration's when it is there, else the best.
        processors: Folder whose processors are used instead of the policy's.
        dataset_stats: Statistics of a data set, used instead of the processors' own.
        overrides: For the policy's configuration.

    Raises:
        ModelError: it doesn't load, or its normaliser has no statistics for what it normalises.
    """
    config = read_config(path, overrides)
    config.device = _device(device, config.device)
    file = weights_file(path)
    try:
        # LeRobot prints while it loads; stdout may be somebody's JSON.
        with contextlib.redirect_stdout(io.StringIO()):
            policy = _from_pretrained(path, config, file)
    except _LOAD_ERRORS as error:
        raise _unusable("its weights don't load", path, error, *_FILES) from error
    # Before there are more of them: reading the file through takes its size of memory for a while.
    digest = weights.file_digest(file)
    if config.device == "cpu":
        # As published, weights are bf16, which a CPU without bf16 units computes 6× slower.
        policy = policy.float()
    preprocess, postprocess = _processors(path, config, processors, dataset_stats)
    _check_statistics(config, (*preprocess.steps, *postprocess.steps), path)
    return LoadedPolicy(
        policy,
        preprocess,
        postprocess,
        config,
        config.device,
        digest,
        PlainEngine(policy),
    )


def _from_pretrained(path: str, config: PreTrainedConfig, file: Path) -> PreTrainedPolicy:
    """LeRobot's ``from_pretrained`` without the random numbers that the file's then replace: of
    the 22 s that a true-size SmolVLA took to load, they took 18."""
    policy_class = get_policy_class(config.type)
    with no_init_weights():
        policy = policy_class.from_pretrained(path, config=config)
    tensors = policy.state_dict()
    stored = weights.file_names(file)
    filled = {tensor.data_ptr() for name, tensor in tensors.items() if name in stored}
    if all(name in stored or tensor.data_ptr() in filled for name, tensor in tensors.items()):
        return policy
    # What the file lacks holds whatever was in memory: LeRobot's way, and its warning.
    return policy_class.from_pretrained(path, config=config)


def weights_file(path: str) -> Path:
    """The weights file of a policy, from its folder or the hub's cache.

    Raises:
        ModelError: there is none.
    """
    if Path(path).is_dir():
        return Path(path) / WEIGHTS
    try:
        return Path(hf_hub_download(path, WEIGHTS))
    except _HUB_ERRORS as error:
        raise ModelError(
            "its weights are neither on disk nor to be had from the hub",
            field="--policy.path",
            value=path,
            remedy="Check the connection, or name a folder",
        ) from error


def read_stats(dataset_root: Path) -> dict[str, dict[str, Any]]:
    """The statistics of a data set as LeRobot's processors take them.

    Raises:
        ModelError: the data set has none.
    """
    path = dataset_root / "meta" / "stats.json"
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the data set's statistics can't be read ({error})", field="dataset", value=path
        ) from error
    return {
        key: {name: np.asarray(value) for name, value in values.items()}
        for key, values in stats.items()
    }


def _device(wanted: str | None, configured: str | None) -> str:
    if wanted:
        try:
            available = is_torch_device_available(wanted)
        except ValueError:
            available = False
        if not available:
            raise ModelError(
                "isn't available here",
                field="--device",
                value=wanted,
                remedy=f"This machine has {auto_select_torch_device().type}",
            )
        return wanted
    if configured and is_torch_device_available(configured):
        return configured
    return str(auto_select_torch_device().type)


def _processors(
    path: str,
    config: PreTrainedConfig,
    folder: Path | None,
    stats: Mapping[str, Mapping[str, Any]] | None,
) -> tuple[Any, Any]:
    pipelines: tuple[Any, Any]
    if stats is not None:
        pipelines = make_pre_post_processors(config, dataset_stats=dict(stats))
        return pipelines
    source = str(folder) if folder is not None else path
    overrides: dict[str, Any] = {"device_processor": {"device": config.device}}
    if getattr(config, "vlm_model_name", None):
        overrides["tokenizer_processor"] = {"tokenizer_name": config.vlm_model_name}
    try:
        pipelines = make_pre_post_processors(
            config, pretrained_path=source, preprocessor_overrides=overrides
        )
    except ProcessorMigrationError as error:
        raise ModelError(
            "is from before LeRobot had processors",
            field="--policy.path",
            value=source,
            remedy=f"Convert it once: {error.migration_command}",
        ) from error
    except FileNotFoundError:
        # Nothing to read; whether new ones will do, the check of the statistics says.
        pipelines = make_pre_post_processors(config)
    except _LOAD_ERRORS as error:
        raise _unusable("its processors don't load", source, error, *_FILES) from error
    return pipelines


def _unusable(what: str, path: str, error: BaseException, *files: str) -> ModelError:
    """With the damaged one of ``files``, if it is that: who reads them doesn't say which it was."""
    found = sorted(file for pattern in files for file in Path(path).glob(pattern))
    damaged = next((file for file in found if not _is_whole(file)), None)
    if damaged is None:
        return ModelError(f"{what}: {_brief(error)}", field="--policy.path", value=path)
    return ModelError(
        f"{what}: {damaged.name} is cut short or damaged ({_brief(error)})",
        field="--policy.path",
        value=path,
        remedy="Put a whole copy of that file in its place",
    )


def _is_whole(file: Path) -> bool:
    try:
        if file.suffix == ".safetensors":
            weights.file_names(file)
        else:
            json.loads(file.read_bytes())
    except (ModelError, OSError, ValueError):
        return False
    return True


def _check_statistics(config: PreTrainedConfig, steps: Sequence[Any], path: str) -> None:
    """LeRobot lets what has no statistics pass through as it is, silently."""

    def normalised(features: Mapping[str, Any]) -> set[str]:
        mapping = config.normalization_mapping
        identity = NormalizationMode.IDENTITY
        return {k for k, f in features.items() if mapping.get(f.type.value, identity) != identity}

    needed = {
        NormalizerProcessorStep: normalised(config.input_features),
        UnnormalizerProcessorStep: normalised(config.output_features),
    }
    for step in steps:
        keys = needed.get(type(step), set())
        missing = sorted(keys - step.stats.keys()) if keys else []
        if missing:
            raise ModelError(
                f"its normaliser has no statistics for {', '.join(missing)}",
                field="--policy.path",
                value=path,
                remedy="Name a data set of this robot: --policy.stats=DATASET",
            )


def count_parameters(policy: PreTrainedPolicy) -> tuple[int, int]:
    """(all, trainable) parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in policy.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def set_threads(threads: int) -> None:
    """Limit torch's threads in this process; 0 leaves them to torch."""
    if threads:
        torch.set_num_threads(threads)
