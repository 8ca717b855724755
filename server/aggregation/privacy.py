"""Central differential privacy with fixed clipping on the server (arXiv:1710.06963).

What Flower's ``DifferentialPrivacyServerSideFixedClipping`` does: each robot's change is shortened
to a fixed L2 norm C, and the mean of n of them gets Gaussian noise of deviation z·C/n on every
number. Three things differ, so that the sensitivity C/n, on which the guarantee rests, holds:
every robot weighs the same whatever samples it claims; n is the number of those averaged, not of
those asked; the noise is on the mean and comes before a server optimiser, not after it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent.policy.atomic import replacing
from robots.errors import FederationError
from server.aggregation.config import AggregateConfig
from server.aggregation.flower_maths import noise_deviation
from server.aggregation.weigh import Share

_KEY = "noise.key"
_KEY_BYTES = 32


class Noise:
    """Gaussian noise that is the same when the same updates are aggregated again, and that nobody
    can draw who lacks the server's key.

    It comes from a secret in ``folder``, made at the first use, with the seed, the start and the
    updates themselves: two different sets of updates never get the same noise, which would cancel
    out of their difference. Flower draws from NumPy's global generator, unseeded.

    Args:
        deviation: Standard deviation on the mean.
    """

    def __init__(
        self,
        config: AggregateConfig,
        folder: Path,
        seed: int,
        start_digest: str,
        shares: Sequence[Share],
    ) -> None:
        self.deviation = noise_deviation(config, len(shares))
        updates = [
            f"{s.update.robot}\n{s.update.job}\n{s.update.update_digest}\n{s.scale!r}"
            for s in shares
        ]
        text = "\n".join([str(seed), start_digest, *updates])
        self._secret = hashlib.sha256(_key(folder) + text.encode()).digest()

    def add(self, name: str, mean: Tensor) -> Tensor:
        """The mean change of one tensor with noise, fp64."""
        if not self.deviation:
            return mean
        words = hashlib.sha256(self._secret + name.encode()).digest()
        generator = np.random.default_rng(int.from_bytes(words, "little"))
        return mean + torch.from_numpy(generator.normal(0.0, self.deviation, tuple(mean.shape)))


def _key(folder: Path) -> bytes:
    """Raises: FederationError."""
    path = folder / _KEY
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise FederationError(f"must hold {_KEY_BYTES} bytes", field="noise key", value=path)
    return key
