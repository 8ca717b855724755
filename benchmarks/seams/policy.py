"""A tiny SmolVLA that has learned the recording: seams of random weights would mean nothing."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.data.split import split
from agent.policy.init import build_policy
from agent.policy.load import LoadedPolicy, load_policy, read_stats
from benchmarks.seams.recording import SIZE, Episode
from robots.replay.info import DatasetInfo

_BATCH = 32
_LR = 3e-3
"""LeRobot's preset is made for fine-tuning a large one."""

_MARK = "trained.json"


def trained(info: DatasetInfo, episodes: list[Episode], steps: int) -> tuple[LoadedPolicy, str]:
    """A policy trained on all but the held-out episodes, and a sentence on how; it is kept in the
    folder for temporary files, and trained once for each data set and number of steps."""
    folder = Path(tempfile.gettempdir()) / "armada-seams" / f"{info.root.name}-{steps}"
    if not (folder / _MARK).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        build_policy(
            folder,
            size="tiny",
            cameras=dict.fromkeys(info.cameras, (SIZE, SIZE)),
            action_names=info.names("action"),
            stats=read_stats(info.root),
        )
        chosen = [episodes[i] for i in split(len(episodes))[0]]
        loaded = load_policy(str(folder), device="cpu")
        losses = _train(loaded, chosen, steps)
        loaded.policy.save_pretrained(folder)
        (folder / _MARK).write_text(json.dumps(losses), encoding="utf-8")
    losses = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    tenth = max(1, steps // 10)
    said = (
        f"{steps} steps of {_BATCH} frames; loss {np.mean(losses[:tenth]):.3f} → "
        f"{np.mean(losses[-tenth:]):.3f}"
    )
    # Ten denoising steps are SmolVLA's default; β is made for them.
    return load_policy(str(folder), device="cpu", overrides=["num_steps=10"]), said


def _train(loaded: LoadedPolicy, episodes: list[Episode], steps: int) -> list[float]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    policy: Any = loaded.policy
    parameters = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, steps, pct_start=0.05)
    policy.train()
    losses = []
    for step in range(steps):
        loss, _ = policy.forward(loaded.preprocess(_batch(policy.config, episodes, rng)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1}: loss {np.mean(losses[-100:]):.3f}", file=sys.stderr)
    policy.eval()
    return losses


def _batch(config: Any, episodes: list[Episode], rng: np.random.Generator) -> dict[str, Any]:
    lengths = np.array([len(e.action) for e in episodes])
    rows = [
        (episodes[i], int(rng.integers(lengths[i])))
        for i in rng.choice(len(episodes), _BATCH, p=lengths / lengths.sum())
    ]
    ahead = [np.arange(t, t + config.chunk_size) for _, t in rows]
    ends = [len(e.action) - 1 for e, _ in rows]
    batch: dict[str, Any] = {
        "observation.state": torch.from_numpy(np.stack([e.state[t] for e, t in rows])),
        "action": torch.from_numpy(
            np.stack(
                [
                    e.action[np.minimum(at, end)]
                    for (e, _), at, end in zip(rows, ahead, ends, strict=True)
                ]
            )
        ),
        "action_is_pad": torch.from_numpy(
            np.stack([at > end for at, end in zip(ahead, ends, strict=True)])
        ),
        "task": [e.task for e, _ in rows],
    }
    for name in rows[0][0].pictures:
        pictures = torch.from_numpy(np.stack([e.pictures[name][t] for e, t in rows]))
        batch[f"observation.images.{name}"] = pictures.permute(0, 3, 1, 2).float() / 255
    return batch
