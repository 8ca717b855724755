"""What the benchmarks of asynchronous inference have in common: the same arm, pictures, weights and
measures for LeRobot's ways to drive by a policy and for ours.
"""

from benchmarks.inference.camera import JpegLoop
from benchmarks.inference.camera_config import JpegLoopConfig

__all__ = ["JpegLoop", "JpegLoopConfig"]
