"""The way from one release to the next in fewer bytes: a safetensors file, packed by zstd.

===========  ======================================================================================
encoding     what the file holds, by tensor
===========  ======================================================================================
``exact``    ``(4, n)`` bytes: the difference of the numbers' bits, read as whole numbers, its least
             significant bytes first. Works between any two sets of tensors, and saves a third: sign
             and exponent seldom change, the last bits of a mantissa are noise
``int8`` …   the wire tensors of :mod:`agent.federation.payload.codec`, for a release that is
             *defined* as its parent and this change: a quarter of fp32, and nothing is lost
===========  ======================================================================================

Both ends compute the same bits: the difference of whole numbers is exact, and a change is one
multiplication and one addition in fp32, each rounded as IEEE 754 says. zstd comes with PyArrow,
which LeRobot brings anyway; Huffman coding by zlib packs as well and is six times slower. XOR
instead of the difference packs 2 % worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from agent.federation.payload import codec
from agent.policy import weights
from agent.policy.atomic import replacing
from robots.errors import ModelError

EXACT = "exact"
_PIECE_B = 1 << 22


def difference(parent: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an ``exact`` file holds.

    Args:
        parent: fp32.
        tensors: fp32, of the same names and shapes.
    """
    return {name: _planes(parent[name], tensors[name]) for name in sorted(tensors)}


def apply(
    parent: Mapping[str, Tensor], change: Mapping[str, Tensor], encoding: str
) -> dict[str, Tensor]:
    """The tensors that a change leads to.

    Args:
        parent: fp32.
        change: What a file of this encoding holds.
        encoding: ``exact``, or one of the codec's.

    Raises:
        ModelError: the change doesn't fit the parent.
    """
    if encoding == EXACT:
        planes = {n: torch.empty((4, t.numel()), dtype=torch.uint8) for n, t in parent.items()}
        weights.check(change, planes)
        return {name: _joined(parent[name], change[name]) for name in sorted(parent)}
    codec.check_wire(change, parent, encoding)
    return {
        name: codec.delta(change, name, parent, encoding).add_(parent[name])
        for name in sorted(parent)
    }


def names(change: Mapping[str, Tensor]) -> list[str]:
    """The tensors that a change is of."""
    return sorted(name for name in change if not name.endswith(codec.SCALE))


def pack(change: Mapping[str, Tensor], path: Path) -> int:
    """Write a file, whole or not at all.

    Returns:
        Bytes that it unpacks to.
    """
    plain = path.with_name(f".{path.name}.plain")
    try:
        save_file(dict(change), plain)
        with (
            replacing(path) as temporary,
            plain.open("rb") as source,
            pa.OSFile(str(temporary), "wb") as file,
            pa.CompressedOutputStream(file, "zstd") as out,
        ):
            while piece := source.read(_PIECE_B):
                out.write(piece)
        return plain.stat().st_size
    finally:
        plain.unlink(missing_ok=True)


def unpack(path: Path, unpacked: int) -> dict[str, Tensor]:
    """Read a file.

    Args:
        path: The file.
        unpacked: Bytes that it unpacks to: no more are written, whatever it holds.

    Raises:
        ModelError: it can't be read, or unpacks to more or less.
    """
    plain = path.with_name(f"{path.name}.plain")
    try:
        written = 0
        with (
            plain.open("wb") as out,
            pa.OSFile(str(path), "rb") as file,
            pa.CompressedInputStream(file, "zstd") as source,
        ):
            while written <= unpacked and (piece := source.read(_PIECE_B)):
                written += out.write(piece)
        if written != unpacked:
            raise ModelError(
                f"unpacks to {written} bytes, not to {unpacked}", field="delta", value=path
            )
        return weights.load(plain)
    except OSError as error:
        raise ModelError(f"can't be unpacked: {error}", field="delta", value=path) from error
    finally:
        plain.unlink(missing_ok=True)


def _planes(parent: Tensor, tensor: Tensor) -> Tensor:
    difference = _bits(tensor) - _bits(parent)
    # Small ones of either sign become small whole numbers: 0, −1, 1, −2, … to 0, 1, 2, 3, …
    folded = np.left_shift(difference, 1) ^ np.right_shift(difference, 31)
    return torch.from_numpy(folded.view(np.uint8).reshape(-1, 4).T.copy())


def _joined(parent: Tensor, planes: Tensor) -> Tensor:
    folded = np.ascontiguousarray(planes.numpy().T).view(np.uint32).reshape(-1)
    difference = np.right_shift(folded, 1).view(np.int32) ^ -(folded & 1).view(np.int32)
    bits = _bits(parent) + difference
    return torch.from_numpy(bits.view(np.float32)).reshape(parent.shape)


def _bits(tensor: Tensor) -> NDArray[np.int32]:
    """The numbers' bits as whole numbers; those of small difference are near one another. What
    overflows wraps around, and back."""
    return tensor.detach().contiguous().reshape(-1).numpy().view(np.int32)
