"""The model that is served: loaded, warmed up, and loaded anew when its folder changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lerobot.configs import PreTrainedConfig

from agent.policy.continuation import Guiding
from agent.policy.engines.choice import use_engine
from agent.policy.load import VLM, LoadedPolicy, load_policy, read_stats
from agent.policy.predict import Answer, Ask, predict_chunks
from robots.errors import ModelError
from robots.replay.locate import locate
from server.policy.config import PolicyServerConfig

INFERENCE_ERRORS = (
    ModelError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
)
"""What torch, LeRobot and a wrong request raise (out of memory is a RuntimeError)."""

_WARM_UPS = 2
_FILES = ("*.json", "*.safetensors", f"{VLM}/*")
"""Configuration, weights, processors and the numbers that they normalise with, tokenizer."""

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A policy that is ready to be asked.

    Args:
        loaded: The policy.
        chunk_size: Actions in a chunk.
        pass_s: Seconds that one robot's chunk takes.
        load_s: Seconds that loading and warming up took.
    """

    loaded: LoadedPolicy
    chunk_size: int
    pass_s: float
    load_s: float

    @property
    def config(self) -> PreTrainedConfig:
        return self.loaded.config

    @property
    def digest(self) -> str:
        return self.loaded.digest

    def predict(self, asks: Sequence[Ask], guiding: Sequence[Guiding | None]) -> list[Answer]:
        """Chunks of several robots, those that continue their plans alike in one pass.

        Args:
            asks: What each sees; pictures bear the policy's names.
            guiding: How each continues its plan; ``None``: it has none.

        Raises:
            ModelError: it can't be asked so, or its actions are not finite.
        """
        names = {f"observation.images.{key}": key for key in self.config.image_features}
        answers: dict[int, Answer] = {}
        for kind in dict.fromkeys(guiding):
            members = [i for i, other in enumerate(guiding) if other == kind]
            found = predict_chunks(
                self.loaded, [asks[i] for i in members], rename_map=names, guiding=kind
            )
            answers |= dict(zip(members, found, strict=True))
        if not all(np.isfinite(answer.chunk).all() for answer in answers.values()):
            raise ModelError("the policy's actions are not finite")
        return [answers[i] for i in range(len(asks))]


def load_model(config: PolicyServerConfig) -> Model:
    """Load the policy that the configuration names, as it is now, and ask it once or twice.

    Raises:
        ModelError: it doesn't load, or can't be asked.
    """
    began = time.monotonic()
    stats = read_stats(locate(config.policy.stats)) if config.policy.stats else None
    path = Path(config.policy.path)
    loaded = load_policy(
        # Where a link points now: it may point elsewhere before all is read.
        str(path.resolve()) if path.is_dir() else config.policy.path,
        device=config.device or None,
        dataset_stats=stats,
        overrides=config.policy.overrides,
    )
    loaded = use_engine(
        loaded,
        name=config.inference.engine,
        precision=config.inference.precision,
        threads=config.threads,
    )
    model = Model(loaded=loaded, chunk_size=1, pass_s=0.0, load_s=0.0)
    took_s, chunk_size = 0.0, 0
    try:
        for _ in range(_WARM_UPS):
            asked = time.monotonic()
            chunk_size = len(model.predict([_blank(loaded.config)], [None])[0].chunk)
            took_s = time.monotonic() - asked
    except INFERENCE_ERRORS as error:
        raise ModelError(
            f"the policy can't be asked: {error}", field="--policy.path", value=config.policy.path
        ) from error
    return replace(model, chunk_size=chunk_size, pass_s=took_s, load_s=time.monotonic() - began)


class Watch:
    """Notices that a policy is another one than before: another folder behind the same link, or
    other files, of whatever part of it. Files that still change are left to settle.

    Args:
        path: ``--policy.path``; a hub id never changes by itself.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = self._served = self._stamp()

    def changed(self) -> bool:
        """Whether what is there now, and was there at the last look, is not what is served; it
        counts as served from now on."""
        now = self._stamp()
        settled, self._seen = now == self._seen, now
        if not settled or not now or now == self._served:
            return False
        self._served = now
        return True

    def _stamp(self) -> Stamp:
        folder = Path(self._path).resolve()
        stamps = []
        for path in sorted(path for pattern in _FILES for path in folder.glob(pattern)):
            try:
                status = path.stat()
            except OSError:
                continue
            stamps.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)


def _blank(config: PreTrainedConfig) -> Ask:
    """An observation of nothing, for the first pass, which allocates and picks kernels."""
    state = config.robot_state_feature
    images = {
        key: np.zeros((*feature.shape[1:], feature.shape[0]), np.uint8)
        for key, feature in config.image_features.items()
        if not key.startswith("observation.images.empty_camera_")
    }
    return Ask(
        state=np.zeros(state.shape if state is not None else 0, np.float32), images=images, task=""
    )
