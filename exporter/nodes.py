"""A list of ONNX nodes that is written like code: each call adds a node and gives its output's name."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper


class Nodes:
    """Nodes and constants under construction; every name it makes up starts with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds one node with one output, named `output` or after its operator."""
        output = output or f"{self.prefix}{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Adds an initializer and gives its name."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name
