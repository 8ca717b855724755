"""The policy worker: one model in a process of its own, asked by the control loop.

::

    → hello{role, pid, generation, trial} ← welcome{layout, buffer, slots, slot, fps, task}
    → ready{generation, digest, chunk_size, looks_back, chunk_s, warmup_s}  or  failed{message}
    ← observe{request, tick, epoch, slot, past, task, plan, frozen}
                                          → chunk{request, tick, generation, epoch, shape, timings}
                                          or error{request, message}
    ← retire{}

The payload of ``observe`` is the plan that the chunk is to continue, (L, A) float32 of the shape
that its field ``plan`` says; L = 0: none. That of ``chunk`` is the chunk, (N, A) float32. The
frame in shared memory stays as it is until the answer, and so do those before it (``past``: their
slots, oldest first), for a policy that looks back.

A failed inference is an answer like any other; the next request may go. The end of the connection,
however it came, is the end of the process. Exit status: 0 retired or control is gone, 3 the model
doesn't load or doesn't fit.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agent import logs
from agent.ipc import Channel, FrameBuffer, FrameLayout, Message, connect
from agent.policy.continuation import Guiding, check_can_continue
from agent.policy.engines.choice import use_engine
from agent.policy.engines.config import ENGINES, PRECISIONS
from agent.policy.fit import check_fit
from agent.policy.guidance import MAX_WEIGHT
from agent.policy.load import LoadedPolicy, load_policy, read_stats, set_threads
from agent.policy.predict import Answer, Ask, predict_chunks, remember
from robots.errors import ArmadaError, LinkError, ModelError, one_line
from robots.replay.locate import locate

logger = logging.getLogger(__name__)

CANT_LOAD = 3
_ROBOT = ""
"""There is one."""

_WELCOME_S = 10.0
_WARM_UPS = {"cuda": 3}
"""Passes before it is ready, elsewhere 2: the first allocates, compiles and picks kernels, on CUDA
the second may record graphs. The last is as fast as all others."""

_INFERENCE_ERRORS = (ArmadaError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError)
"""What torch, LeRobot and a wrong request raise (out of memory is a RuntimeError)."""


class PolicyWorker:
    """Answers control's requests with one policy.

    Args:
        channel: To control, after the welcome.
        buffer: Where observations lie.
        loaded: The policy.
        generation: Which worker this is, counted by the supervisor.
        rename_map: Robot keys to policy keys.
        seed: Of the policy's noise; ``None``: fresh noise.
        guiding: How plans are continued; ``None``: control sends none.
    """

    def __init__(
        self,
        channel: Channel,
        buffer: FrameBuffer,
        loaded: LoadedPolicy,
        *,
        generation: int,
        rename_map: Mapping[str, str],
        seed: int | None,
        guiding: Guiding | None = None,
    ) -> None:
        self._channel = channel
        self._buffer = buffer
        self._loaded = loaded
        self._generation = generation
        self._rename_map = rename_map
        self._seed = seed
        self._guiding = guiding
        self._idle_since = time.perf_counter()

    def warm_up(self, task: str) -> tuple[int, float]:
        """Ask for chunks from an empty observation; the length of a chunk, and the seconds that the
        last one took.

        Raises:
            ModelError: the policy can't be asked.
        """
        layout = self._buffer.layout
        state = np.zeros(len(layout.state_names), np.float32)
        images = {image.key: np.zeros(image.shape, np.uint8) for image in layout.images}
        try:
            plan = None
            for _ in range(_WARM_UPS.get(self._loaded.device.partition(":")[0], 2)):
                began = time.perf_counter()
                ask = Ask(state=state, images=images, task=task, plan=plan, frozen=1)
                chunk = self._predict(ask).chunk
                took_s = time.perf_counter() - began
                plan = chunk if self._guiding else None
        except _INFERENCE_ERRORS as error:
            raise ModelError(f"the policy can't be asked: {_brief(error)}") from error
        return len(chunk), took_s

    def serve(self) -> None:
        """Answer until retired or alone."""
        self._idle_since = time.perf_counter()
        while not self._channel.closed:
            for message in self._channel.wait(None):
                if message.kind == "retire":
                    return
                if message.kind == "observe":
                    self._answer(message)

    def _answer(self, message: Message) -> None:
        wait_s = time.perf_counter() - self._idle_since
        try:
            plan = np.frombuffer(message.payload, np.float32).reshape(message["plan"])
            self._look_back(message)
            answer = self._predict(
                Ask(
                    **self._seen(message, message["slot"]),
                    plan=plan if len(plan) else None,
                    frozen=message["frozen"],
                    seed=self._seed,
                )
            )
        except _INFERENCE_ERRORS as error:
            logger.warning("request %s failed: %s", message["request"], _brief(error))
            self._channel.send("error", request=message["request"], message=_brief(error))
        else:
            self._channel.send(
                "chunk",
                payload=answer.chunk.tobytes(),
                request=message["request"],
                tick=message["tick"],
                epoch=message["epoch"],
                generation=self._generation,
                shape=list(answer.chunk.shape),
                timings={"wait_s": wait_s, **answer.timings},
                inside=answer.inside,
            )
        self._idle_since = time.perf_counter()

    def _look_back(self, message: Message) -> None:
        """For a policy that does: at the ticks before, not at when it was asked last, long ago."""
        self._loaded.engine.forget(_ROBOT)
        for slot in message["past"]:
            remember(self._loaded, Ask(**self._seen(message, slot)), rename_map=self._rename_map)

    def _seen(self, message: Message, slot: int) -> dict[str, Any]:
        views = self._buffer[slot]
        return {
            "state": views.state,
            "images": views.images,
            "task": message["task"],
            "robot": _ROBOT,
        }

    def _predict(self, ask: Ask) -> Answer:
        (answer,) = predict_chunks(
            self._loaded, [ask], rename_map=self._rename_map, guiding=self._guiding
        )
        if not np.isfinite(answer.chunk).all():
            raise ModelError("the policy's actions are not finite")
        return replace(answer, chunk=np.ascontiguousarray(answer.chunk))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker to its end; the exit status."""
    args = _parse(argv)
    logs.configure()
    set_threads(args.threads)
    try:
        channel = connect(args.socket, timeout_s=_WELCOME_S)
    except LinkError as error:
        # Control is gone before it was here: the supervisor starts both again.
        logger.info("%s", error)
        return 0
    channel.send(
        "hello", role="policy", pid=os.getpid(), generation=args.generation, trial=args.trial
    )
    welcome = _welcome(channel)
    if welcome is None:
        return 0
    # Not below: the buffer of a control that is gone by now is no fault of the model's.
    layout = FrameLayout.from_json(welcome["layout"])
    buffer = FrameBuffer(Path(welcome["buffer"]), layout, welcome["slots"])
    try:
        worker, ready = _prepare(args, channel, buffer, welcome["task"])
    except Exception as error:
        # Whatever it is that stops it would stop the next one too: this model doesn't load here.
        if not isinstance(error, ArmadaError):
            logger.warning("loading failed", exc_info=True)
        # Last: the supervisor takes the reason from there.
        logger.error("%s", one_line(error))
        channel.send("failed", message=one_line(error))
        channel.drain(1.0)
        return CANT_LOAD
    channel.send("ready", **ready)
    worker.serve()
    return 0


def _prepare(
    args: argparse.Namespace, channel: Channel, buffer: FrameBuffer, task: str
) -> tuple[PolicyWorker, dict[str, Any]]:
    began = time.monotonic()
    stats = read_stats(locate(args.stats)) if args.stats and not args.processors else None
    loaded = load_policy(
        args.policy,
        device=args.device or None,
        processors=args.processors,
        dataset_stats=stats and {args.rename_map.get(k, k): v for k, v in stats.items()},
        overrides=args.overrides,
    )
    check_fit(loaded.config, buffer.layout, args.rename_map)
    loaded = use_engine(loaded, name=args.engine, precision=args.precision, threads=args.threads)
    guiding = None
    if args.guidance:
        check_can_continue(loaded.config)
        guiding = Guiding(exact=args.guidance == "exact", max_weight=args.max_guidance_weight)
    worker = PolicyWorker(
        channel,
        buffer,
        loaded,
        generation=args.generation,
        rename_map=args.rename_map,
        seed=args.seed,
        guiding=guiding,
    )
    loaded_s = time.monotonic() - began
    chunk_size, chunk_s = worker.warm_up(task)
    warmup_s = time.monotonic() - began
    logger.info(
        "%s on %s by %s: loaded in %.1f s, warm after %.1f s",
        args.policy,
        loaded.device,
        loaded.engine.name,
        loaded_s,
        warmup_s,
    )
    return worker, {
        "generation": args.generation,
        "digest": loaded.digest,
        "chunk_size": chunk_size,
        "looks_back": loaded.engine.looks_back,
        "chunk_s": chunk_s,
        "warmup_s": round(warmup_s, 3),
        "load_s": round(loaded_s, 3),
    }


def _welcome(channel: Channel) -> Message | None:
    for message in channel.wait(_WELCOME_S):
        if message.kind == "welcome":
            return message
        logger.error("control answers %s: %s", message.kind, message.fields.get("message", ""))
    return None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.policy.worker")
    parser.add_argument("--socket", type=Path, required=True, help="control's socket")
    parser.add_argument("--policy", required=True, help="policy folder or hub id")
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--trial", action="store_true", help="the model is on probation")
    parser.add_argument("--device", default="")
    parser.add_argument("--processors", type=Path, help="folder of processors to use instead")
    parser.add_argument("--stats", default="", help="data set whose statistics to use instead")
    parser.add_argument("--threads", type=int, default=0, help="0: torch decides")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="exact")
    parser.add_argument("--rename_map", type=json.loads, default={}, help="JSON object")
    parser.add_argument("--overrides", type=json.loads, default=[], help='JSON: ["name=value"]')
    parser.add_argument(
        "--guidance",
        choices=("", "exact", "identity"),
        default="",
        help="how plans are continued, if any",
    )
    parser.add_argument("--max_guidance_weight", type=float, default=MAX_WEIGHT)
    parser.add_argument("--seed", type=int, help="of the policy's noise")
    return parser.parse_args(argv)


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
