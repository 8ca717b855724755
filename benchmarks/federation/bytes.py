"""What a robot sends and fetches in a round: ``python -m benchmarks.federation.bytes [--rank 16]``.

The trained part of SmolVLA at true size (155 tensors, 99.9 M numbers) or adapters of it, with
random weights and random changes, so that no packer has it easier than in earnest. *Up* is what
Flower hands over: the bytes of all objects of the record, names included. *Down* is what a robot
fetches of the release: the change since the one before if it has that, and the whole tensors if it
has none. Beside them stands a federation that sends every tensor of the policy in fp32 both ways,
as zk0 does with SmolVLA: computed, 450,046,176 numbers of 4 bytes.

Needs the hub's cache for the shapes of SmolVLA's VLM (``HF_HUB_CACHE``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from flwr.app import ArrayRecord
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from torch import Tensor, nn

from agent.federation.payload import codec, lora
from agent.federation.payload.spec import ENCODINGS, TrainsConfig
from agent.policy import weights
from agent.releases import delta
from agent.training.arrays import to_record
from benchmarks.inference.setting import machine
from server.registry.define import define

_WHOLE = 450_046_176
_WEIGHT, _CHANGE = 0.02, 1e-3
_MB = 1e6
_TARGETS_MB = {("lora", "int8"): 4.0, ("full", "int8"): 105.0}


def policy() -> nn.Module:
    """SmolVLA at true size, without memory for its weights."""
    config = SmolVLAConfig(load_vlm_weights=False, device="cpu", push_to_hub=False)
    with contextlib.redirect_stdout(io.StringIO()), torch.device("meta"):
        built: nn.Module = SmolVLAPolicy(config)
    return built


def start(kind: str, rank: int) -> dict[str, Tensor]:
    """What a round starts from: random weights, or adapters that have learned something."""
    built = policy()
    if kind == "lora":
        shapes = {
            n: t.shape for n, t in lora.zeros(built, TrainsConfig(kind=kind, rank=rank)).items()
        }
    else:
        shapes = {n: p.shape for n, p in built.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(0)
    return {n: _WEIGHT * torch.randn(s, generator=generator) for n, s in shapes.items()}


def learned(begin: Mapping[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {n: t + _CHANGE * torch.randn(t.shape, generator=generator) for n, t in begin.items()}


def flower_bytes(record: ArrayRecord) -> int:
    """Of all objects that Flower sends for a record."""
    return sum(len(part.deflate()) for part in get_all_nested_objects(record).values())


def down_bytes(begin: Mapping[str, Tensor], after: Mapping[str, Tensor], encoding: str) -> int:
    """Of the way from the release before."""
    _, wire, _ = define(begin, after, encoding, {})
    with tempfile.TemporaryDirectory(prefix="armada-bytes-") as folder:
        path = Path(folder) / "delta.safetensors.zst"
        delta.pack(wire or delta.difference(begin, after), path)
        return path.stat().st_size


def whole_bytes(begin: Mapping[str, Tensor]) -> int:
    """Of the release's tensors, all of them."""
    with tempfile.TemporaryDirectory(prefix="armada-bytes-") as folder:
        weights.save(Path(folder) / "trainable.safetensors", begin)
        return (Path(folder) / "trainable.safetensors").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    args = parser.parse_args()
    whole = _WHOLE * 4
    print(f"{machine()}; MB = 10⁶ bytes\n")
    print(
        "| trained | numbers | travels as | up MB | down MB | first down MB "
        "| both ways of whole | target for up |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    print(f"| whole state | {_WHOLE:,} | fp32 | {whole / _MB:.0f} | {whole / _MB:.0f} | | 1 | |")
    for kind in ("full", "lora"):
        begin = start(kind, args.rank)
        after = learned(begin)
        first = whole_bytes(begin)
        numbers = sum(t.numel() for t in begin.values())
        name = "expert" if kind == "full" else f"LoRA, rank {args.rank}"
        for encoding in ENCODINGS:
            up = flower_bytes(to_record(codec.encode(after, begin, encoding)))
            down = down_bytes(begin, after, encoding)
            limit = _TARGETS_MB.get((kind, encoding))
            met = (
                "" if limit is None else f"≤ {limit:g}: {'met' if up <= limit * _MB else 'missed'}"
            )
            print(
                f"| {name} | {numbers:,} | {encoding} | {up / _MB:.2f} | {down / _MB:.2f} "
                f"| {first / _MB:.1f} | 1/{2 * whole / (up + down):.0f} | {met} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
