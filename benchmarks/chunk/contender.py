"""One contender in a process of its own: ``python -m benchmarks.chunk.contender FOLDER NAME``.

It loads, says so in a line of JSON, and answers each line with the number of a chunk by one with
seconds, seconds by stage and the chunk. What it has used of memory is its own peak.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from agent.policy.engines.choice import use_engine
from agent.policy.load import load_policy, read_config
from benchmarks.chunk import problem, rates

AS_PUBLISHED, FP32 = "LeRobot, as published (bf16)", "LeRobot, fp32"
OURS = {
    "smolvla-torch": ("smolvla-torch", "exact"),
    "smolvla-compiled": ("smolvla-compiled", "exact"),
    "smolvla-torch, bf16": ("smolvla-torch", "bf16"),
    "onnx": ("onnx", "exact"),
    "onnx, 8 bits": ("onnx", "8bit"),
}

RATES = {
    AS_PUBLISHED: rates.TORCH_BF16,
    FP32: rates.TORCH_FP32,
    "smolvla-torch": rates.TORCH_FP32,
    "smolvla-compiled": rates.TORCH_FP32,
    "smolvla-torch, bf16": rates.TORCH_BF16,
    "onnx": rates.ONNX_FP32,
    "onnx, 8 bits": rates.ONNX_8BIT,
}
"""What each contender's products could reach. Some of a contender's are of another kind."""

Chunk = Callable[[torch.Tensor], tuple[torch.Tensor, dict[str, float]]]


def main() -> None:
    """Serve until the input ends."""
    folder, name, threads, flops = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    began = time.perf_counter()
    policy, batch, chunk = _ours(folder, name) if name in OURS else _lerobot(folder, name)
    with torch.no_grad():
        chunk(problem.noise(policy.config, 0))
    counted = _flops(policy, batch) if flops == "count" else {}
    print(json.dumps({"ready_s": time.perf_counter() - began, "flops": counted}), flush=True)
    for line in sys.stdin:
        noise = problem.noise(policy.config, int(line))
        began, used = time.perf_counter(), time.process_time()
        with torch.no_grad():
            actions, stages = chunk(noise)
        took, used = time.perf_counter() - began, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {
            "s": took,
            "cpu_s": used,
            "stages": stages,
            "actions": actions.float().tolist(),
            "peak": peak,
        }
        print(json.dumps(answer), flush=True)


def _lerobot(folder: str, name: str) -> tuple[Any, problem.Batch, Chunk]:
    config: Any = read_config(folder)
    config.device = "cpu"
    with contextlib.redirect_stdout(io.StringIO()):
        policy: Any = get_policy_class(config.type).from_pretrained(folder, config=config)
    if name == FP32:
        policy = policy.float()
    else:
        # LeRobot gets the VLM of a published checkpoint with `torch_dtype="bfloat16"`.
        # Built from its configuration alone, as here without the hub, its vision tower is in fp32.
        policy.model.vlm_with_expert.vlm.to(torch.bfloat16)
    preprocess, _ = make_pre_post_processors(
        config,
        pretrained_path=folder,
        preprocessor_overrides={"tokenizer_processor": {"tokenizer_name": config.vlm_model_name}},
    )
    batch = problem.observe(config, preprocess)

    def chunk(noise: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        began = time.perf_counter()
        with _stages(policy, time.perf_counter) as spent:
            actions = policy.predict_action_chunk(dict(batch), noise=noise)
        total = time.perf_counter() - began
        return actions, dict(spent) | {"prefix_s": total - sum(spent.values())}

    return policy, batch, chunk


def _ours(folder: str, name: str) -> tuple[Any, problem.Batch, Chunk]:
    engine, precision = OURS[name]
    loaded = load_policy(folder, device="cpu")
    batch = problem.observe(loaded.config, loaded.preprocess)
    loaded = use_engine(loaded, name=engine, precision=precision)
    made: Any = loaded.engine

    def chunk(noise: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return made.predict(batch, robots=["a"], noise=noise), made.timings

    return loaded.policy, batch, chunk


@contextlib.contextmanager
def _stages(policy: Any, clock: Callable[[], float]) -> Iterator[dict[str, float]]:
    """What LeRobot's vision tower and denoising steps use up of whatever the clock counts."""
    spent: dict[str, float] = defaultdict(float)
    flow = policy.model

    def counted(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            result = function(*args, **kwargs)
            spent[stage] += clock() - began
            return result

        return call

    backbone = flow.vlm_with_expert
    own = backbone.embed_image, flow.denoise_step
    backbone.embed_image = counted(own[0], "vision_s")
    flow.denoise_step = counted(own[1], "steps_s")
    try:
        yield spent
    finally:
        backbone.embed_image, flow.denoise_step = own


def _flops(policy: Any, batch: problem.Batch) -> dict[str, float]:
    """Of LeRobot's own way, attention included, by stage."""
    counter = FlopCounterMode(display=False)
    # Torch counts no fused attention on a CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        with _stages(policy, counter.get_total_flops) as spent:
            policy.predict_action_chunk(dict(batch), noise=problem.noise(policy.config, 0))
        total = counter.get_total_flops()
    return dict(spent) | {"prefix_s": total - sum(spent.values())}


if __name__ == "__main__":
    main()
