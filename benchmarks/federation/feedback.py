"""What rounding costs after ten rounds: ``python -m benchmarks.federation.feedback --data FOLDER``.

Four robots train the tiny SmolVLA on their own shares of a recording, round after round, and the
server takes the mean of what arrives, weighted by frames. Every line does the same training on the
same frames with the same noise; only the encoding of the updates differs. The error of a line is
how far its weights end from those of fp32. Training itself carries small differences on, so fp32 is
also run with the robots' updates added up in the opposite order: what differs there is rounding of
sums alone, and no line can be expected to be nearer.

Updates go through the codec, error feedback through files, as they do between robot and server.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from agent.data.open import open_info
from agent.federation.payload import codec
from agent.federation.payload.feedback import Residual
from agent.federation.payload.spec import TrainsConfig
from agent.policy import weights
from agent.policy.init import build_policy
from agent.policy.load import LoadedPolicy, load_policy, read_stats
from agent.training.config import TrainConfig
from agent.training.frames import TrainingFrames
from agent.training.heldout import heldout_error
from agent.training.learner import Learner
from benchmarks.inference.setting import machine

_ROBOTS = 4
_HELD_OUT = 3


@dataclass
class Line:
    """A way for updates to travel.

    Args:
        name: Of the line.
        encoding: Of the updates.
        feedback: Whether what rounding loses is kept.
        order: In which the robots' updates are added.
        tensors: The fleet's weights.
    """

    name: str
    encoding: str
    feedback: bool = False
    order: int = 1
    tensors: dict[str, Tensor] = field(default_factory=dict)


LINES = (
    Line("fp32", "fp32"),
    Line("fp32, summed in the opposite order", "fp32", order=-1),
    Line("bf16", "bf16"),
    Line("fp16", "fp16"),
    Line("int8, no feedback", "int8"),
    Line("int8, error feedback", "int8", feedback=True),
)


class Batches(TrainingFrames):
    """Reads each batch from the disk once for all lines."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read: dict[int, dict[str, Any]] = {}

    def batch(self, step: int) -> dict[str, Any]:
        if step not in self._read:
            self._read[step] = super().batch(step)
        return dict(self._read[step])


def train(
    loaded: LoadedPolicy, start: Mapping[str, Tensor], frames: Batches, config: TrainConfig
) -> dict[str, Tensor]:
    """One robot's share of a round."""
    weights.apply(loaded.policy, start)
    learner = Learner(loaded, frames, config)
    while learner.done < config.steps:
        learner.step()
    return weights.trainable(loaded.policy)


def send(line: Line, update: dict[str, Tensor], residual: Residual, job: str) -> dict[str, Tensor]:
    """What arrives of an update: its change."""
    if line.feedback:
        with residual.feedback(
            job, line.tensors, base_digest="benchmark", trains=TrainsConfig()
        ) as feedback:
            wire = codec.encode(update, line.tensors, line.encoding, feedback)
        residual.received([job])
    else:
        wire = codec.encode(update, line.tensors, line.encoding)
    codec.check_wire(wire, line.tensors, line.encoding)
    return {n: codec.delta(wire, n, line.tensors, line.encoding) for n in line.tensors}


def mean(line: Line, changes: list[dict[str, Tensor]], samples: list[int]) -> None:
    """Move a line's weights by the weighted mean."""
    pairs = list(zip(changes, samples, strict=True))[:: line.order]
    for name, tensor in line.tensors.items():
        total = sum(change[name] * (count / sum(samples)) for change, count in pairs)
        line.tensors[name] = tensor + total


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return codec.length({name: a[name] - b[name] for name in a})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/so101_cloth_wrist"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=4)
    args = parser.parse_args()
    info = open_info(args.data)
    training = range(len(info.episodes) - _HELD_OUT)
    held_out = list(range(len(info.episodes)))[-_HELD_OUT:]
    with tempfile.TemporaryDirectory(prefix="armada-feedback-") as name:
        folder = Path(name)
        cameras = {
            key.removeprefix("observation.images."): tuple(feature["shape"][:2])
            for key, feature in info.features.items()
            if feature["dtype"] == "video"
        }
        stats = read_stats(args.data)
        build_policy(
            folder / "policy",
            size="tiny",
            cameras=cameras,
            action_names=info.features["action"]["names"],
            stats=stats,
        )
        loaded = load_policy(str(folder / "policy"), device="cpu")
        start = weights.trainable(loaded.policy)
        for line in LINES:
            line.tensors = dict(start)
        before = heldout_error(loaded, args.data, held_out, {})
        for number in range(args.rounds):
            arrived: list[list[dict[str, Tensor]]] = [[] for _ in LINES]
            samples = []
            config = TrainConfig(steps=args.steps, batch_size=args.batch_size, seed=number)
            for robot in range(_ROBOTS):
                frames = Batches(
                    args.data,
                    list(training)[robot::_ROBOTS],
                    loaded.config,
                    {},
                    batch_size=config.batch_size,
                    seed=config.seed,
                )
                samples.append(len(frames))
                for line, changes in zip(LINES, arrived, strict=True):
                    residual = Residual(folder / f"robot{robot}" / line.name)
                    update = train(loaded, line.tensors, frames, config)
                    changes.append(send(line, update, residual, f"round-{number}"))
            for line, changes in zip(LINES, arrived, strict=True):
                mean(line, changes, samples)
        exact = LINES[0].tensors
        travelled = distance(exact, start)
        print(
            f"{machine()}; {args.rounds} rounds of {_ROBOTS} robots, {args.steps} steps of "
            f"{args.batch_size} frames; held-out error before {before:.4f}; fp32 travels "
            f"{travelled / codec.length(start):.3f} of the length of the weights\n"
        )
        print("| updates as | from fp32, of the weights | of the way travelled | held-out error |")
        print("|---|---|---|---|")
        for line in LINES:
            off = distance(line.tensors, exact)
            weights.apply(loaded.policy, line.tensors)
            error = heldout_error(loaded, args.data, held_out, {})
            print(
                f"| {line.name} | {off / codec.length(exact):.2e} | {off / travelled:.2e} "
                f"| {error:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
