"""What graph surgery needs: who uses a tensor, what is constant, and swapping nodes in place."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference


class Rewriter:
    """One graph under surgery; the nodes stay in topological order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output)
        self._shapes = {value.name: value.type.tensor_type.shape for value in values}
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def nodes(self, op_type: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if node.op_type == op_type]

    def only_consumer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that reads the tensor, if it is just one and the tensor is no output of the graph."""
        consumers = [node for node in self.graph.node if tensor in node.input]
        is_output = any(output.name == tensor for output in self.graph.output)
        return consumers[0] if len(consumers) == 1 and not is_output else None

    def constant(self, tensor: str) -> NDArray[np.generic] | None:
        """The value of an initializer; None if the tensor is computed."""
        return self._constants.get(tensor)

    def shape(self, tensor: str) -> list[int | str]:
        """Sizes, symbols for those that are not fixed; empty if unknown (or a scalar)."""
        dimensions = self._shapes[tensor].dim if tensor in self._shapes else ()
        return [item.dim_value if item.HasField("dim_value") else item.dim_param for item in dimensions]

    def add_constant(self, value: NDArray[np.generic]) -> str:
        """Stores an array and gives the name of its initializer."""
        name = f"clean_{len(self._constants)}"
        self._constants[name] = value
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def replace(self, old: Sequence[onnx.NodeProto], *new: onnx.NodeProto) -> None:
        """Puts `new` where the first of `old` stood; `new` has to make what others read of `old`."""
        kept = [node for node in self.graph.node if node not in old]
        place = next(index for index, node in enumerate(self.graph.node) if node in old)
        nodes = [*kept[:place], *new, *kept[place:]]
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def drop_unused_constants(self) -> None:
        used = {name for node in self.graph.node for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
