"""Where tokenizer and configurations of a true-size policy come from."""

from __future__ import annotations

import os
from pathlib import Path


def use_local_hub() -> None:
    """Take tokenizer and configurations from ``../shared/hf_hub`` where it is there; before
    anything of Hugging Face is imported."""
    shared = Path(os.environ.get("ARMADA_SHARED", Path(__file__).parents[3] / "shared"))
    if (shared / "hf_hub").is_dir():
        os.environ.setdefault("HF_HUB_CACHE", str(shared / "hf_hub"))
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
