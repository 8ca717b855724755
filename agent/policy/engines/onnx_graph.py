"""Writes a graph for ONNX Runtime by hand, with weights that stay where they are.

Nothing is traced and nothing goes over a disk: a graph is a hundred nodes or so, and its weights
are handed to the runtime in memory, which packs them for its own kernels. That takes seconds at
true size, so there is nothing to cache that could be stale or torn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from robots.errors import ModelError

MICROSOFT = "com.microsoft"
"""The domain of the runtime's own operators."""

_OPSET = 20
_IR_VERSION = 10
_SMALL = 1024
"""Bytes up to which a constant is part of the graph, where the optimiser can see it."""

_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.int64: TensorProto.INT64,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
}


class Graph:
    """A graph in the making. Names of values are strings; every node has one output unless said
    otherwise."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: list[Any] = []
        self._weights: dict[str, NDArray[Any]] = {}

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """An fp32 input; a dimension that varies is a name."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value: str, name: str, rank: int) -> None:
        """Make a value an fp32 output of this name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        shape = [f"{name}_{i}" for i in range(rank)]
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator; its output."""
        return self.nodes(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def nodes(
        self, op: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add an operator of several outputs."""
        names = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names

    def constant(self, tensor: Tensor) -> str:
        """Add a weight; it isn't copied where it is contiguous on the CPU."""
        name = f"c{len(self._constants)}"
        values = tensor.detach().cpu().contiguous()
        kind = _TYPES[values.dtype]
        if values.nbytes <= _SMALL:
            data = values.numpy().tobytes()
            self._constants.append(helper.make_tensor(name, kind, values.shape, data, raw=True))
            return name
        outside = onnx.TensorProto(
            name=name, data_type=kind, dims=values.shape, data_location=TensorProto.EXTERNAL
        )
        outside.external_data.add(key="location", value="memory")
        self._constants.append(outside)
        self._weights[name] = values.numpy()
        return name

    def integers(self, *values: int) -> str:
        """Add a list of integers, as shapes and axes are."""
        return self.constant(torch.tensor(values, dtype=torch.int64))

    def number(self, value: float) -> str:
        """Add a scalar."""
        return self.constant(torch.tensor(value, dtype=torch.float32))

    def reshape(self, value: str, *shape: int) -> str:
        """0: as it is; −1: what is left."""
        return self.node("Reshape", value, self.integers(*shape))

    def transpose(self, value: str, *order: int) -> str:
        return self.node("Transpose", value, perm=list(order))

    def compile(self, threads: int) -> onnxruntime.InferenceSession:
        """Hand the graph to the runtime, weights and all.

        Args:
            threads: Of its computations; 0: as many as there are cores.
        """
        graph = helper.make_graph(self._nodes, "part", self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=_IR_VERSION,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Idle threads sleep: beside them runs a control loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(
            list(self._weights),
            [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._weights.values()],
        )
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def run(session: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Run once; the outputs are torch's without a copy.

    Raises:
        ModelError: the runtime fails, for want of memory, say.
    """
    arrays = {
        name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in inputs.items()
    }
    try:
        outputs = session.run(None, arrays)
    except Exception as error:
        # The runtime's errors have no root of their own; uncaught they end a server's one thread.
        raise ModelError(f"ONNX Runtime fails: {error}") from error
    return [torch.from_numpy(array) for array in outputs]
