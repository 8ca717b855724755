"""What the benchmarks of asynchronous inference have in common: the same arm, pictures, weights and
measures for LeRobot's ways to drive by a policy and for ours.
"""

from benchmarks.inference.hub import use_local_hub

# Hugging Face's libraries look at the environment when they are imported.
use_local_hub()

from benchmarks.inference.camera import JpegLoop  # noqa: E402
from benchmarks.inference.camera_config import JpegLoopConfig  # noqa: E402

__all__ = ["JpegLoop", "JpegLoopConfig"]
