"""Configuration of the benchmarks' camera, in LeRobot's registry.

No ``from __future__ import annotations`` here: draccus reads the types of the fields.
"""

from dataclasses import dataclass

from lerobot.cameras import CameraConfig


@CameraConfig.register_subclass("jpeg_loop")
@dataclass(kw_only=True)
class JpegLoopConfig(CameraConfig):  # type: ignore[misc]
    """A USB camera as OpenCV reads it: JPEG pictures at a steady rate."""

    # Folder of *.jpg, played in the order of their names, over and over.
    folder: str = ""
