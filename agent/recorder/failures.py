"""What can go wrong with an episode without a defect of ours."""

from __future__ import annotations

import av
import cv2
import pyarrow as pa

from robots.errors import ArmadaError

FAILURES = (
    *(ArmadaError, OSError, ValueError, RuntimeError, MemoryError),
    *(av.FFmpegError, pa.ArrowException, cv2.error),
)
"""What comes of a full or broken disk and of encoders, by way of LeRobot."""
