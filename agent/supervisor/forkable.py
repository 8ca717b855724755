"""What keeps the supervisor fit to fork: its children start with all that it has imported.

LeRobot, PyTorch and Transformers cost seconds and hundreds of MB a process. A forked child pays
neither again: pages are shared until somebody writes to them. A fork copies one thread only, so
whatever another thread holds is held for ever, and CUDA doesn't survive it: a process with either
is not forked, its children are started afresh (``python -m``).

Nothing heavy is imported here: this comes before NumPy, which reads the environment once.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_WITHOUT_THREADS = {
    # NumPy's and SciPy's, whose threads start with the import.
    "OPENBLAS_NUM_THREADS": "1",
    # Arrow's allocator, the same.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Whether there is a GPU is asked without beginning to use it.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
_CUDA = "libcuda.so.1"
_CUDA_NOT_BEGUN = 3
"""CUDA_ERROR_NOT_INITIALIZED."""

_ours: set[str] = set()


def stay_forkable() -> None:
    """Have what this process imports start no threads; before anything heavy is imported."""
    for name, value in _WITHOUT_THREADS.items():
        if name not in os.environ:
            os.environ[name] = value
            _ours.add(name)


def inherited() -> dict[str, str]:
    """The environment for children: this one without what :func:`stay_forkable` put there."""
    return {name: value for name, value in os.environ.items() if name not in _ours}


def why_not() -> str | None:
    """Why this process can't be forked; ``None``: it can."""
    if sys.platform != "linux":
        return "only Linux's processes can be"
    threads = len([*Path("/proc/self/task").iterdir()])
    if threads > 1:
        return f"it has {threads} threads"
    if _cuda_begun():
        return "it has begun to use CUDA"
    return None


def _cuda_begun() -> bool:
    try:
        # Only if something loaded it before.
        cuda = ctypes.CDLL(_CUDA, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    count = ctypes.c_int()
    return bool(cuda.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_NOT_BEGUN)
