"""``python -m agent.federation.trainer.work``: one job, in a process of its own.

It may be killed at any moment: what it leaves is a checkpoint from which the next one goes on, or a
result.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from torch import Tensor

from agent.federation import report
from agent.federation.jobs.job import Job
from agent.federation.payload.codec import encode
from agent.federation.payload.feedback import Residual
from agent.federation.start import Start, find_start
from agent.federation.trainer.statuses import DONE, LATER, NEVER
from agent.federation.wire import LOW_DISK, MEASURE, Order
from agent.fleet import UnreachableError
from agent.logs import configure
from agent.policy import weights
from agent.training.checkpoint import Checkpoints
from agent.training.home import Home
from agent.training.measure import measure
from agent.training.train import train
from robots.errors import ArmadaError

_PROGRESS_S = 0.5

logger = logging.getLogger(__name__)


def work(home: Home, job: Job, checkpoint_s: float) -> None:
    """Do a job from where it was left.

    Args:
        home: The robot's.
        job: What was ordered.
        checkpoint_s: How often to keep how far it is, s.

    Raises:
        UnreachableError: the server doesn't answer.
        ArmadaError: it can't be done.
        OSError: the disk is full, among others.
    """
    order = job.order
    start = find_start(home, job)
    job.note_that("")
    if order.work == MEASURE:
        job.write("result", _measure(home, order, start))
    else:
        job.write("result", _train(home, job, order, start, checkpoint_s))


def _train(home: Home, job: Job, order: Order, start: Start, checkpoint_s: float) -> dict[str, Any]:
    result = train(
        policy_path=start.policy,
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        config=order.train,
        trains=order.trains,
        received=start.tensors,
        normaliser=order.normaliser,
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
        progress=_Told(job),
        checkpoints=Checkpoints(job.folder, checkpoint_s),
        unclean=home.training.unclean,
    )
    wire = _encoded(home, job, order, result.trainable, start.tensors)
    weights.save(job.update, wire)
    digest = weights.digest(wire)
    said = report.report(home, result, digest)
    asked = {
        "job": job.name,
        "round-id": order.round_id,
        "server-round": order.server_round,
        "base-digest": order.base_digest,
        "received-digest": order.start_digest,
        "encoding": order.encoding,
        "config": order.train.to_dict(),
        "time": job.created,
    }
    report.keep(home, result, said, asked)
    return {
        "metrics": report.metrics(result),
        "report": said,
        "update-digest": digest,
        "trained-on": list(result.trained_on),
    }


def _encoded(
    home: Home,
    job: Job,
    order: Order,
    update: dict[str, Tensor],
    start: dict[str, Tensor],
) -> dict[str, Tensor]:
    if order.encoding == "fp32":
        return encode(update, start, order.encoding)
    with Residual(home.state.residual).feedback(
        job.name, start, base_digest=order.base_digest, trains=order.trains
    ) as feedback:
        return encode(update, start, order.encoding, feedback)


def _measure(home: Home, order: Order, start: Start) -> dict[str, Any]:
    error, episodes = measure(
        policy_path=start.policy,
        processors=home.state.processors,
        dataset_root=home.dataset_root,
        trains=order.trains,
        received=start.tensors,
        normaliser=order.normaliser,
        rename_map=home.rename_map,
        device=home.device,
        threads=home.threads,
        unclean=home.training.unclean,
    )
    said = {report.NUM_EXAMPLES: episodes, report.HELD_OUT_ERROR: error}
    return {"metrics": said, "report": {"robot": home.name}}


class _Told:
    """Leaves the step in a file, twice a second at most, for the answers and whoever shows it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._trainer = os.getppid()
        self._at = 0.0

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if os.getppid() != self._trainer:
            # Where no signal tells: the trainer is dead, and its successor starts another.
            raise SystemExit(LATER)
        if step == steps or time.monotonic() - self._at > _PROGRESS_S:
            self._at = time.monotonic()
            self._job.write("progress", {"step": step, "steps": steps, "loss": loss})


def run(home: Home, job: Job, checkpoint_s: float) -> int:
    """Do a job; the exit status."""
    try:
        work(home, job, checkpoint_s)
    except (ArmadaError, OSError) as error:
        if not job.there:
            logger.info("the job was removed: %s", error)
            return DONE
        if isinstance(error, OSError):
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            error = UnreachableError(f"{LOW_DISK}: {error}")
        if isinstance(error, UnreachableError):
            logger.warning("later: %s", error)
            job.note_that(str(error))
            return LATER
        logger.error("%s", error)
        job.write("failed", {"reason": str(error)})
        return NEVER
    return DONE


def _be_modest() -> None:
    """The disk is for the recorder first."""
    if sys.platform == "linux":
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def main(argv: list[str]) -> int:
    """Do the job in ``--job``."""
    configure()
    parser = argparse.ArgumentParser(description="One federated job; see agent.federation.trainer.")
    parser.add_argument("--node", type=json.loads, required=True, help="as for the ClientApp")
    parser.add_argument("--job", type=Path, required=True, help="its folder")
    parser.add_argument("--checkpoint_s", type=float, required=True)
    args = parser.parse_args(argv)
    _be_modest()
    return run(Home.of(args.node), Job(args.job), args.checkpoint_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
