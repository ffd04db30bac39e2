"""What graph surgery needs: who makes and who uses a tensor, what is constant, swapping nodes in place."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from exporter.bodies import mentions, reads, redirect


class Rewriter:
    """One graph under surgery; the nodes stay in topological order.

    Shapes are those that the graph had at the start; tensors made since have none.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output)
        self._types = {value.name: value.type.tensor_type for value in values}
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._names = {name for node in self.graph.node for name in mentions(node)}

    def nodes(self, op_type: str) -> list[onnx.NodeProto]:
        return [node for node in self.graph.node if node.op_type == op_type]

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes the tensor; None for inputs and constants."""
        return next((node for node in self.graph.node if tensor in node.output), None)

    def only_consumer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that reads the tensor, if it is just one and the tensor is no output of the graph."""
        consumers = [node for node in self.graph.node if tensor in reads(node)]
        return consumers[0] if len(consumers) == 1 and not self._is_output(tensor) else None

    def constant(self, tensor: str) -> NDArray[np.generic] | None:
        """The value of an initializer; None if the tensor is computed."""
        return self._constants.get(tensor)

    def dtype(self, tensor: str) -> int:
        """As in TensorProto.DataType; 0 if unknown."""
        return self._types[tensor].elem_type if tensor in self._types else 0

    def shape(self, tensor: str) -> list[int | str]:
        """Sizes, symbols for those that are not fixed; empty if unknown (or a scalar)."""
        dimensions = self._types[tensor].shape.dim if tensor in self._types else ()
        return [item.dim_value if item.HasField("dim_value") else item.dim_param for item in dimensions]

    def unused_name(self, like: str) -> str:
        name = next(f"{like}_{n}" for n in count(1) if f"{like}_{n}" not in self._names)
        self._names.add(name)
        return name

    def add_constant(self, value: NDArray[np.generic]) -> str:
        """Stores an array, unless the graph has it, and gives the name of its initializer."""
        for name, known in self._constants.items():
            if known.dtype == value.dtype and np.array_equal(known, value):
                return name
        name = self.unused_name("constant")
        self._constants[name] = value
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def replace(self, old: Sequence[onnx.NodeProto], *new: onnx.NodeProto) -> None:
        """Puts `new` where the last of `old` stood; `new` has to make what others read of `old`."""
        last = max(index for index, node in enumerate(self.graph.node) if node in old)
        before = [node for node in self.graph.node[:last] if node not in old]
        nodes = [*before, *new, *self.graph.node[last + 1 :]]
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def drop_identities(self) -> None:
        """Lets the users of an Identity read its input instead, unless it makes an output of the graph."""
        for identity in self.nodes("Identity"):
            if self._is_output(identity.output[0]):
                continue
            for node in self.graph.node:
                redirect(node, {identity.output[0]: identity.input[0]})

    def merge_twins(self) -> None:
        """Of nodes that compute the same from the same, keeps the first."""
        first: dict[bytes, onnx.NodeProto] = {}
        same: dict[str, str] = {}
        kept: list[onnx.NodeProto] = []
        for node in self.graph.node:
            redirect(node, same)
            bare = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=node.input)
            bare.attribute.extend(node.attribute)
            # How many outputs there are, and which are left out, can decide over what is computed.
            bare.output.extend("made" if name else "" for name in node.output)
            twin = first.setdefault(bare.SerializeToString(deterministic=True), node)
            outputs = dict(zip(node.output, twin.output, strict=True))
            if twin is node or any(
                self._is_output(mine) and mine != other for mine, other in outputs.items()
            ):
                kept.append(node)
            else:
                same |= outputs
        del self.graph.node[:]
        self.graph.node.extend(kept)

    def drop_unused(self) -> None:
        """Removes nodes and constants that no output depends on."""
        used = {output.name for output in self.graph.output}
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.graph.node):
            if used.intersection(node.output):
                kept.append(node)
                used.update(reads(node))
        constants = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(reversed(kept))
        self.graph.initializer.extend(constants)

    def _is_output(self, tensor: str) -> bool:
        return any(output.name == tensor for output in self.graph.output)


def forget_shapes(model: onnx.ModelProto) -> None:
    """Shapes that were inferred for a batch make ORT (up to 1.31) refuse zero rows."""
    del model.graph.value_info[:]


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}
