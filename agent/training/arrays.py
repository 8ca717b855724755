"""Between tensors and what Flower sends: an ``ArrayRecord`` keyed by tensor name, in fp32.

Flower writes each array as ``.npy`` and reads it without pickle. bf16 does not exist in NumPy, so
everything travels in fp32, the published SmolVLA's bf16 tensors too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

from robots.errors import ModelError


def to_record(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Tensors of any float type, sorted by name, as fp32 arrays."""
    return ArrayRecord(
        {
            name: Array(tensors[name].detach().to("cpu", torch.float32).contiguous().numpy())
            for name in sorted(tensors)
        }
    )


def from_record(record: ArrayRecord) -> dict[str, Tensor]:
    """The tensors of a record.

    Raises:
        ModelError: an array is no ``.npy`` of numbers, as from a foreign sender.
    """
    tensors: dict[str, Tensor] = {}
    for name, array in record.items():
        try:
            tensors[name] = torch.from_numpy(array.numpy().copy())
        except (ValueError, TypeError, EOFError, OSError) as error:
            raise ModelError(f"the array can't be read: {error}", field=name) from error
    return tensors


def payload_bytes(record: ArrayRecord) -> int:
    """Bytes of the arrays as they travel, without Flower's envelope (under 1 % of it)."""
    return sum(len(array.data) for array in record.values())
