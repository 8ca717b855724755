"""One line of ``memory.py``'s table, in a process that does nothing else:
``python -m benchmarks.federation.memory_once JOB FOLDER``, the job being JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from flwr.serverapp.strategy import FedAvg

from agent.policy import weights
from benchmarks.federation.updates import reply, start
from server.aggregation.aggregate import aggregate
from server.aggregation.config import AggregateConfig
from server.aggregation.stored import StoredUpdate
from server.rounds.inspect import read_answer, read_update

OURS, FLOWER = "Armada", "Flower"


@dataclass(frozen=True)
class Job:
    """A line of the table."""

    who: str
    strategy: str
    replies: int
    scale: float
    encoding: str


@dataclass(frozen=True)
class Measured:
    """Peak memory before the first reply and at the end, in MB; CPU seconds of taking the replies
    in and of aggregating them."""

    before_mb: float
    peak_mb: float
    take_s: float
    aggregate_s: float


def peak_mb() -> float:
    """Most memory that this process has had at once."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1e3


def measure(job: Job, folder: Path) -> Measured:
    """In a process that does nothing else."""
    torch.set_num_threads(1)
    begin = start(job.scale)
    digest = weights.digest(begin)
    before = peak_mb()
    take_s = 0.0
    if job.who == FLOWER:
        replies = [reply(i, begin, digest, "fp32") for i in range(job.replies)]
        began = time.process_time()
        FedAvg().aggregate_train(1, replies)
        return Measured(before, peak_mb(), take_s, time.process_time() - began)
    for robot in range(job.replies):
        message = reply(robot, begin, digest, job.encoding)
        began = time.process_time()
        answer = read_answer(message)
        update = read_update(
            message.content, answer, start=begin, start_digest=digest, encoding=job.encoding
        )
        StoredUpdate.write(
            folder / "updates" / f"{answer.robot}.safetensors",
            update.wire,
            begin,
            robot=answer.robot,
            node=str(robot),
            job=answer.job,
            samples=update.samples,
            encoding=job.encoding,
            start_digest=digest,
            update_digest=update.digest,
            report=update.report,
        )
        take_s += time.process_time() - began
        del message, update
    began = time.process_time()
    updates = StoredUpdate.read_all(folder / "updates")
    aggregate(AggregateConfig(strategy=job.strategy), begin, updates, folder / "state", 0)
    return Measured(before, peak_mb(), take_s, time.process_time() - began)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.loads(sys.argv[1])), Path(sys.argv[2])))))
