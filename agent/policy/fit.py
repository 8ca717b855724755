"""Whether a policy fits a robot or a data set: asked before anything heavy is loaded or moves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lerobot.configs import PreTrainedConfig

from agent.ipc import MOST_LOOKED_AT, FrameLayout
from robots.errors import ModelError

ACTION_NAMES = "action_names.json"
"""LeRobot keeps the names of a policy's actions for π0 only; ours stand in this file beside its
config.json."""


def check_fit(
    config: PreTrainedConfig,
    layout: FrameLayout,
    rename_map: Mapping[str, str],
    *,
    of: str = "the robot",
    most_observations: int = MOST_LOOKED_AT,
) -> None:
    """Whether a policy can drive this robot: cameras, size of state and action, action names.

    Args:
        config: The policy's, from ``read_config``.
        layout: The robot's.
        rename_map: Robot keys to policy keys.
        of: Whose layout it is, in words.
        most_observations: That whoever asks can show it at once, one a tick.

    Raises:
        ModelError: the first thing that differs.
    """
    offered = {f"observation.images.{image.key}" for image in layout.images}
    unknown = sorted(rename_map.keys() - offered - {"observation.state"})
    if unknown:
        raise ModelError(
            f"{of} has no {unknown[0]}, it has {sorted(offered) or 'no cameras'}",
            field="--rename_map",
            value=json.dumps(dict(rename_map)),
        )
    _check_cameras(config, offered, rename_map, of)
    _check_size("state", config.robot_state_feature, layout.state_names, of)
    _check_size("action", config.action_feature, layout.action_names, of)
    if config.n_obs_steps > most_observations:
        raise ModelError(
            f"the policy looks at {config.n_obs_steps} observations at once, here it gets at most "
            f"{most_observations}",
            field="--policy.path",
            value=config.pretrained_path,
            remedy=f"Use a policy with n_obs_steps={most_observations}, or less",
        )
    names = action_names(config)
    if names is not None and tuple(names) != layout.action_names:
        raise ModelError(
            f"the policy's actions are {list(names)}, {of}'s {list(layout.action_names)}",
            field="--policy.path",
            value=config.pretrained_path,
            remedy="Use a policy that was trained for this robot",
        )


def _check_cameras(
    config: PreTrainedConfig, offered: set[str], rename_map: Mapping[str, str], of: str
) -> None:
    renamed = {rename_map.get(key, key) for key in offered}
    missing = [
        key
        for key in config.image_features
        if key not in renamed and not key.startswith("observation.images.empty_camera_")
    ]
    # SmolVLA and its kin take black pictures for as many cameras as this says.
    empty = getattr(config, "empty_cameras", 0)
    if len(missing) <= empty:
        return
    spare = sorted(offered - {key for key in offered if rename_map.get(key, key) in missing})
    spare = [key for key in spare if rename_map.get(key, key) not in config.image_features]
    example = spare[0] if spare else "observation.images.NAME"
    pad = f", or leave it black: --policy.empty_cameras={len(missing)}" * hasattr(
        config, "empty_cameras"
    )
    raise ModelError(
        f"the policy needs the camera {', '.join(missing)}; {of} has {sorted(offered) or 'none'}",
        field="cameras",
        remedy="Name a camera so, or map one: "
        f"--rename_map='{json.dumps({example: missing[0]})}'{pad}",
    )


def action_names(config: PreTrainedConfig) -> Sequence[str] | None:
    """The names of the policy's actions, where it keeps them."""
    names: Sequence[str] | None = getattr(config, "action_feature_names", None)
    if names is None and config.pretrained_path is not None:
        path = Path(config.pretrained_path) / ACTION_NAMES
        if path.is_file():
            names = json.loads(path.read_text(encoding="utf-8"))
    return names


def _check_size(what: str, feature: Any, names: Sequence[str], of: str) -> None:
    size = feature.shape[0] if feature is not None else len(names)
    if size != len(names):
        raise ModelError(
            f"the policy's {what} has {size} numbers, {of}'s {len(names)}: {list(names)}",
            field="--policy.path",
            remedy="Use a policy that was trained for this robot",
        )
