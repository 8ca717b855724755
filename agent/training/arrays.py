"""Between tensors and what Flower sends: an ``ArrayRecord`` keyed by tensor name.

Flower writes each array as ``.npy`` and reads it without pickle. NumPy has no bf16: its bits travel
as uint16, which no tensor of ours is otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

from robots.errors import ModelError


def to_record(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Tensors of any type that travels, sorted by name; bit for bit."""
    return ArrayRecord({name: _to_array(tensors[name]) for name in sorted(tensors)})


def from_record(record: ArrayRecord) -> dict[str, Tensor]:
    """The tensors of a record.

    Raises:
        ModelError: an array is no ``.npy`` of numbers, as from a foreign sender.
    """
    return {name: _to_tensor(name, array) for name, array in record.items()}


def take_from_record(record: ArrayRecord) -> dict[str, Tensor]:
    """The same, and what is read is dropped from the record: of a large update there is no second
    copy.

    Raises:
        ModelError: an array is no ``.npy`` of numbers.
    """
    return {name: _to_tensor(name, record.pop(name)) for name in list(record)}


def payload_bytes(record: ArrayRecord) -> int:
    """Bytes of the arrays as they travel, without Flower's envelope (under 1 % of it)."""
    return sum(len(array.data) for array in record.values())


def _to_array(tensor: Tensor) -> Array:
    plain = tensor.detach().cpu().contiguous()
    return Array((plain.view(torch.uint16) if plain.dtype is torch.bfloat16 else plain).numpy())


def _to_tensor(name: str, array: Array) -> Tensor:
    try:
        tensor = torch.from_numpy(array.numpy())
    # What NumPy raises of a foreign header isn't foreseeable: tokenize's errors, OverflowError of a
    # shape of 10**30, MemoryError of one of 10**15 (nothing is filled before the bytes are there).
    except Exception as error:
        raise ModelError(f"the array can't be read: {error}", field=name) from error
    return tensor.view(torch.bfloat16) if tensor.dtype is torch.uint16 else tensor
