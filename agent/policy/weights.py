"""Tensors by name: which of a policy's are trained, what identifies them, and their files.

What travels, is compared and is digested as *trainable* or *frozen* is fp32, whatever type a policy
holds it in: the published SmolVLA is bf16 on disk, fp32 on a CPU, and stays one model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agent.policy.atomic import replacing
from robots.errors import ModelError


def digest(tensors: Mapping[str, Tensor]) -> str:
    """``sha256:<hex>`` over tensors in the order of their names.

    Each counts with its name, dtype, shape and raw bytes; one bit more or less is another digest.
    Bytes are little-endian, as on every host that LeRobot runs on.
    """
    return _digest((name, tensors[name]) for name in sorted(tensors))


def file_digest(path: Path) -> str:
    """``digest`` of a safetensors file, one tensor in memory at a time.

    Raises:
        ModelError: the file can't be read.
    """
    with _open(path) as file:
        return _digest((name, file.get_tensor(name)) for name in sorted(file.keys()))


def file_names(path: Path) -> frozenset[str]:
    """Names of the tensors of a safetensors file.

    Raises:
        ModelError: the file can't be read.
    """
    with _open(path) as file:
        return frozenset(file.keys())


def file_digest_parts(path: Path, trainable_names: Iterable[str]) -> tuple[str, str]:
    """Digests of the trainable and of the frozen tensors of a file, each as fp32.

    Raises:
        ModelError: the file can't be read or lacks a trainable tensor.
    """
    chosen = set(trainable_names)
    with _open(path) as file:
        names = set(file.keys())
        missing = sorted(chosen - names)
        if missing:
            raise ModelError(
                f"lacks {len(missing)} tensors that the policy trains, such as {missing[0]}",
                field="weights",
                value=path,
            )

        def part(names: set[str]) -> Iterator[tuple[str, Tensor]]:
            return ((name, _fp32(file.get_tensor(name))) for name in sorted(names))

        return _digest(part(chosen)), _digest(part(names - chosen))


def trainable(policy: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that training changes: fp32, on the CPU, contiguous."""
    return {
        name: _copy(parameter)
        for name, parameter in policy.named_parameters()
        if parameter.requires_grad
    }


def frozen(policy: nn.Module) -> dict[str, Tensor]:
    """Copies of everything else that the policy is saved with, buffers included."""
    names = {name for name, p in policy.named_parameters() if p.requires_grad}
    return {k: _copy(v) for k, v in policy.state_dict().items() if k not in names}


def apply(policy: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put trainable tensors into a policy.

    Raises:
        ModelError: they are not those of this policy.
    """
    parameters = {name: p for name, p in policy.named_parameters() if p.requires_grad}
    check(tensors, {name: p.detach().to("meta", torch.float32) for name, p in parameters.items()})
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def check(tensors: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not like ``reference`` in names, shapes and types, or not finite.

    Raises:
        ModelError: names the first tensor at fault and what is wrong with it.
    """
    missing = sorted(reference.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - reference.keys())
    for names, what in ((missing, "is missing"), (unexpected, "is unexpected")):
        if names:
            more = f", as are {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{what}{more}", field="tensor", value=names[0])
    for name in sorted(reference):
        have, want = tensors[name], reference[name]
        for what, got, expected in (
            ("shape", tuple(have.shape), tuple(want.shape)),
            ("type", have.dtype, want.dtype),
        ):
            if got != expected:
                raise ModelError(
                    f"has {what} {got}, expected {expected}", field="tensor", value=name
                )
        if have.is_floating_point() and not bool(torch.isfinite(have).all()):
            raise ModelError("holds numbers that are not finite", field="tensor", value=name)


def save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that is there whole or not at all."""
    with replacing(path) as temporary:
        save_file(
            {k: v.detach().contiguous() for k, v in tensors.items()}, temporary, metadata or {}
        )


def load(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.
        names: Which of its tensors; None: all.

    Raises:
        ModelError: the file is missing, is no safetensors file or lacks a tensor.
    """
    if names is not None:
        with _open(path) as file:
            return {name: file.get_tensor(name) for name in names}
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    return tensors


def _digest(items: Iterable[tuple[str, Tensor]]) -> str:
    total = hashlib.sha256()
    for name, tensor in items:
        dtype = str(tensor.dtype).removeprefix("torch.")
        header = json.dumps([name, dtype, list(tensor.shape)]).encode()
        total.update(len(header).to_bytes(8, "little") + header)
        plain = tensor.detach().cpu().contiguous()
        # NumPy gives arrays of no or one number strides of their own, which PyTorch keeps.
        flat = plain.as_strided((plain.numel(),), (1,))
        total.update(flat.view(torch.uint8).numpy())
    return f"sha256:{total.hexdigest()}"


def _fp32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _copy(tensor: Tensor) -> Tensor:
    return _fp32(tensor.detach()).to("cpu", copy=True).contiguous()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"the weights can't be read: {error}", field="weights", value=path)
