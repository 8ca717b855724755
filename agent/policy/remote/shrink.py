"""Pictures on their way to a policy server: as small as the policy looks at them, then JPEG.

SmolVLA resizes every picture to fit into 512×512 before it looks. Done on the robot, by the same
rule, a 640×480 picture is sent as 512×384 and the server's own resizing finds nothing to do. The
result is what torch's ``interpolate(mode="bilinear", align_corners=False)`` gives, rounded to 8
bits; what JPEG changes comes on top.

OpenCV's codec is libjpeg-turbo; a binding of its own to that is no faster.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def shrink(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 (H, W, 3) to (height, width, 3)."""
    if image.shape[:2] == (height, width):
        return image
    # In float: OpenCV's 8-bit arithmetic is off by one here and there, this is exact.
    resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    rounded: NDArray[np.uint8] = np.rint(resized).astype(np.uint8)
    return rounded


def encode(image: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG of an RGB picture, chroma halved both ways."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
