"""Replies of robots that trained the true-size action expert, made without training it."""

from __future__ import annotations

import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from torch import Tensor

from agent.federation.payload import codec
from agent.federation.wire import ANSWER, ARRAYS, FINISHED, METRICS, Answer
from agent.policy import weights
from agent.training.arrays import to_record

_LAYERS, _WIDTH, _INNER, _STATE = 16, 720, 2048, 32
_QUERIES, _KEYS = 960, 320
_CHANGE = 1e-3

JOB = "0001-001-train-benchmark"


def shapes(scale: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Of SmolVLA's trained tensors: 155, 99.9 M numbers; with ``scale`` their first dimensions are
    so much of the true ones."""
    true: dict[str, tuple[int, ...]] = {}
    for layer in range(_LAYERS):
        prefix = f"model.vlm_with_expert.lm_expert.layers.{layer}."
        # Every other layer attends across to the backbone, whose keys are 320 wide.
        width = _WIDTH if layer % 2 == 0 else _KEYS
        true |= {
            prefix + "input_layernorm.weight": (_WIDTH,),
            prefix + "post_attention_layernorm.weight": (_WIDTH,),
            prefix + "mlp.down_proj.weight": (_WIDTH, _INNER),
            prefix + "mlp.gate_proj.weight": (_INNER, _WIDTH),
            prefix + "mlp.up_proj.weight": (_INNER, _WIDTH),
            prefix + "self_attn.k_proj.weight": (_KEYS, width),
            prefix + "self_attn.v_proj.weight": (_KEYS, width),
            prefix + "self_attn.o_proj.weight": (_WIDTH, _QUERIES),
            prefix + "self_attn.q_proj.weight": (_QUERIES, _WIDTH),
        }
    true["model.vlm_with_expert.lm_expert.norm.weight"] = (_WIDTH,)
    for name, out, width in (
        ("state_proj", _QUERIES, _STATE),
        ("action_in_proj", _WIDTH, _STATE),
        ("action_out_proj", _STATE, _WIDTH),
        ("action_time_mlp_in", _WIDTH, 2 * _WIDTH),
        ("action_time_mlp_out", _WIDTH, _WIDTH),
    ):
        true[f"model.{name}.weight"], true[f"model.{name}.bias"] = (out, width), (out,)
    return {n: (max(1, round(s[0] * scale)), *s[1:]) for n, s in true.items()}


def start(scale: float) -> dict[str, Tensor]:
    """What training starts from."""
    generator = torch.Generator().manual_seed(0)
    return {n: 0.02 * torch.randn(s, generator=generator) for n, s in shapes(scale).items()}


def reply(robot: int, begin: dict[str, Tensor], start_digest: str, encoding: str) -> Message:
    """What the ServerApp holds once Flower has delivered the finished update of a robot."""
    generator = torch.Generator().manual_seed(1 + robot)
    wire: dict[str, Tensor] = {}
    for name in sorted(begin):
        change = _CHANGE * torch.randn(begin[name].shape, generator=generator)
        one = {name: begin[name]}
        wire |= codec.encode({name: begin[name] + change}, one, encoding)
    answer = Answer(
        job=JOB,
        robot=f"robot{robot:02d}",
        state=FINISHED,
        start_digest=start_digest,
        update_digest=weights.digest(wire),
    )
    arrays = to_record({})
    for name in sorted(wire):
        # Each is dropped as it is packed: a message is all there is of an update.
        arrays.update(to_record({name: wire.pop(name)}))
    content = RecordDict(
        {
            ANSWER: answer.to_record(),
            ARRAYS: arrays,
            METRICS: MetricRecord({"num-examples": 100 + robot}),
        }
    )
    return Message(content=content, metadata=Metadata(1, "", robot, 1, "", "", 0.0, 1.0, "train"))
