"""Removes transposes between channels last and channels first from the inside of a branch.

Keras computes channels last and ONNX Runtime channels first. The converter transposes around what it
does not know, such as softsign or differences between frames. Here every transpose is moved up against
the flow, through operators that do not care, until it meets its inverse or the uint8 rows, where
it is four times cheaper. A transpose that would meet anything else stays where it is.
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper

from exporter.rewrite import Rewriter, attributes

Permutation = tuple[int, ...]

_ELEMENTWISE = {
    *("Cast", "Clip", "Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "Softsign", "Softplus", "Tanh"),
    *("Abs", "Neg", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Max", "Min"),
    *("Add", "Sub", "Mul", "Div", "Pow"),
}
_REDUCTIONS = {"ReduceMean", "ReduceMax", "ReduceMin"}


class _Blocked(Exception):
    """A transpose cannot move past some operator."""


def hoist_transposes(rewriter: Rewriter) -> None:
    """Moves transposes up wherever that makes them vanish, or ends at the rows."""
    for transpose in rewriter.nodes("Transpose"):
        hoist = _Hoist(rewriter)
        try:
            result = hoist.transposed(transpose.input[0], _permutation(transpose))
        except _Blocked:
            continue
        tail = helper.make_node("Identity", [result], [transpose.output[0]])
        rewriter.replace([transpose], *hoist.nodes, tail)
    rewriter.drop_identities()
    # Every transpose left its own copies of what it passed.
    rewriter.merge_twins()


class _Hoist:
    """Copies of the nodes above one transpose that work on transposed tensors."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.nodes: list[onnx.NodeProto] = []
        self._done: dict[tuple[str, Permutation], str] = {}

    def transposed(self, tensor: str, permutation: Permutation) -> str:
        """The name of a tensor equal to Transpose(tensor). Raises _Blocked if none is for free."""
        if permutation == tuple(range(len(permutation))):
            return tensor
        key = (tensor, permutation)
        if key not in self._done:
            self._done[key] = self._copy(tensor, permutation)
        return self._done[key]

    def _copy(self, tensor: str, permutation: Permutation) -> str:
        node = self.rewriter.producer(tensor)
        if node is None:
            if self.rewriter.dtype(tensor) != TensorProto.UINT8:
                raise _Blocked
            return self._add(helper.make_node("Transpose", [tensor], [tensor], perm=permutation))
        if node.op_type == "Transpose":
            inner = _permutation(node)
            return self.transposed(node.input[0], tuple(inner[axis] for axis in permutation))
        if node.op_type in _ELEMENTWISE:
            return self._elementwise(node, permutation)
        if node.op_type in _REDUCTIONS:
            return self._reduction(node, permutation)
        match node.op_type:
            case "Concat":
                axis = permutation.index(attributes(node)["axis"] % len(permutation))
                inputs = [self.transposed(name, permutation) for name in node.input]
                return self._add(helper.make_node("Concat", inputs, node.output, axis=axis))
            case "Pad":
                return self._pad(node, permutation)
            case "Slice":
                return self._slice(node, permutation)
            case "Reshape":
                return self._reshape(node, permutation)
            case _:
                return self._reshaped(tensor, permutation)

    def _reshaped(self, tensor: str, permutation: Permutation) -> str:
        """Where only axes of one element move, nothing does."""
        sizes = self.rewriter.shape(tensor)
        moved = [axis for axis in permutation if sizes and sizes[axis] != 1]
        if not sizes or moved != sorted(moved):
            raise _Blocked
        target = [-1 if isinstance(sizes[axis], str) else sizes[axis] for axis in permutation]
        constant = self.rewriter.add_constant(np.array(target, np.int64))
        return self._add(helper.make_node("Reshape", [tensor, constant], [tensor]))

    def _elementwise(self, node: onnx.NodeProto, permutation: Permutation) -> str:
        copy = deepcopy(node)
        copy.input[:] = [self._operand(name, permutation) for name in node.input]
        return self._add(copy)

    def _operand(self, name: str, permutation: Permutation) -> str:
        constant = self.rewriter.constant(name)
        rank = len(permutation)
        if constant is None:
            if len(self.rewriter.shape(name)) != rank:
                raise _Blocked
            return self.transposed(name, permutation)
        if constant.size == 1:
            return name
        full = constant.reshape([1] * (rank - constant.ndim) + list(constant.shape))
        return self.rewriter.add_constant(np.ascontiguousarray(full.transpose(permutation)))

    def _reduction(self, node: onnx.NodeProto, permutation: Permutation) -> str:
        rank = len(self.rewriter.shape(node.input[0]))
        axes = {axis % rank for axis in attributes(node)["axes"]}
        if attributes(node).get("keepdims", 1):
            inner = permutation
        else:
            # Reduced axes keep their places; the others follow the order wanted of the result.
            kept = [axis for axis in range(rank) if axis not in axes]
            order = iter(kept[axis] for axis in permutation)
            inner = tuple(axis if axis in axes else next(order) for axis in range(rank))
        copy = deepcopy(node)
        copy.input[0] = self.transposed(node.input[0], inner)
        _set_attribute(copy, "axes", sorted(inner.index(axis) for axis in axes))
        return self._add(copy)

    def _slice(self, node: onnx.NodeProto, permutation: Permutation) -> str:
        axes = self.rewriter.constant(node.input[3]) if len(node.input) > 3 else None
        if axes is None:
            raise _Blocked
        moved = [permutation.index(int(axis) % len(permutation)) for axis in axes.ravel()]
        copy = deepcopy(node)
        copy.input[0] = self.transposed(node.input[0], permutation)
        copy.input[3] = self.rewriter.add_constant(np.array(moved, np.int64))
        return self._add(copy)

    def _pad(self, node: onnx.NodeProto, permutation: Permutation) -> str:
        pads = self.rewriter.constant(node.input[1])
        if pads is None:
            raise _Blocked
        copy = deepcopy(node)
        copy.input[0] = self.transposed(node.input[0], permutation)
        moved = pads.reshape(2, -1)[:, list(permutation)].ravel()
        copy.input[1] = self.rewriter.add_constant(np.ascontiguousarray(moved))
        return self._add(copy)

    def _reshape(self, node: onnx.NodeProto, permutation: Permutation) -> str:
        """Passes if only axes are merged or split that stay in front."""
        target = self.rewriter.constant(node.input[1])
        before, after = self.rewriter.shape(node.input[0]), self.rewriter.shape(node.output[0])
        front = next(place for place, axis in enumerate(permutation) if place != axis)
        moved = len(permutation) - front
        if target is None or 0 in target or len(before) <= moved or before[-moved:] != after[-moved:]:
            raise _Blocked
        shift = len(before) - len(after)
        inner = (*range(front + shift), *(axis + shift for axis in permutation[front:]))
        sizes = self.rewriter.add_constant(target[list(permutation)])
        source = self.transposed(node.input[0], inner)
        return self._add(helper.make_node("Reshape", [source, sizes], node.output))

    def _add(self, node: onnx.NodeProto) -> str:
        node.output[0] = self.rewriter.unused_name(node.output[0])
        node.name = node.output[0]
        self.nodes.append(node)
        return node.output[0]


def _permutation(node: onnx.NodeProto) -> Permutation:
    return tuple(attributes(node)["perm"])


def _set_attribute(node: onnx.NodeProto, name: str, value: Sequence[int]) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
