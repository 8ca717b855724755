"""Tensors of a file, read when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from agent.policy.weights import file_names
from robots.errors import ModelError


class TensorFile(Mapping[str, Tensor]):
    """A safetensors file as a mapping from names to tensors.

    The file is opened for each tensor and closed again: what a process has mapped counts as its
    memory for as long as the file is open.

    Raises:
        ModelError: with what is asked for, if the file can't be read or lacks the tensor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, name: str) -> Tensor:
        try:
            with safe_open(self._path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"the tensor can't be read: {error}", field=str(self._path), value=name
            ) from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _names(self) -> list[str]:
        return sorted(file_names(self._path))
