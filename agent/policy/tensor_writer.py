"""Writes a safetensors file one tensor at a time.

The library's own writer wants all of them in memory at once. The format is a header of JSON behind
its length in 8 bytes, and then the numbers: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from agent.policy.atomic import replacing

_NUMBER_B = 4


class TensorWriter:
    """Takes the tensors of a file that is being written, in any order.

    Args:
        file: Where to; its position is moved about.
        shapes: Of all tensors, fp32.
        metadata: What the file says beside them.
    """

    def __init__(
        self, file: BinaryIO, shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str]
    ) -> None:
        header: dict[str, object] = {"__metadata__": dict(metadata)}
        at, self._places = 0, dict[str, int]()
        for name in sorted(shapes):
            end = at + math.prod(shapes[name]) * _NUMBER_B
            header[name] = {
                "dtype": "F32",
                "shape": list(shapes[name]),
                "data_offsets": [at, end],
            }
            self._places[name] = at
            at = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        self._file = file
        self._begin = file.tell()
        # What is never written is zero.
        file.truncate(self._begin + at)

    def write(self, name: str, tensor: Tensor) -> None:
        """Put one of the tensors, fp32 and on the CPU, in its place."""
        self._file.seek(self._begin + self._places[name])
        self._file.write(tensor.contiguous().numpy().tobytes())


@contextlib.contextmanager
def writing(
    path: Path, shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str]
) -> Iterator[TensorWriter]:
    """A writer of ``path``, which is there whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield TensorWriter(file, shapes, metadata)
