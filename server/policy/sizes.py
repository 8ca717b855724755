"""In what size a robot is to send a picture: no larger than the policy looks at it.

Policies that resize to fit a box and pad the rest keep the aspect ratio; a picture that was resized
by the same rule fits exactly, and their own resizing leaves it as it is.
"""

from __future__ import annotations

from lerobot.configs import PreTrainedConfig


def sent_size(config: PreTrainedConfig, height: int, width: int) -> tuple[int, int]:
    """(height, width) to send a picture in. Never larger than it is: enlarging adds bytes only."""
    box = _box(config)
    if box is None:
        return height, width
    small = _fitted(height, width, box)
    # int() can cut a pixel too much; then the policy would resize again, and by another ratio.
    fits = small[0] <= height and small[1] <= width and _fitted(*small, box) == small
    return small if fits else (height, width)


def _box(config: PreTrainedConfig) -> tuple[int, int] | None:
    """(height, width) that the policy fits pictures into; ``None``: it takes them as they are."""
    if config.type == "smolvla" and config.resize_imgs_with_padding is not None:
        width, height = config.resize_imgs_with_padding
        return height, width
    if config.type in ("pi0", "pi05"):
        height, width = config.image_resolution
        return height, width
    return None


def _fitted(height: int, width: int, box: tuple[int, int]) -> tuple[int, int]:
    """LeRobot's arithmetic (``policies/common/vla_utils.py``)."""
    ratio = max(width / box[1], height / box[0])
    return int(height / ratio), int(width / ratio)
