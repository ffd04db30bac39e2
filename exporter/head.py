"""The first steps of a branch on frames: uint8 pixels straight into the first convolution.

    rows → Cast → scaling, normalisation … → Reshape, Transpose to NCHW → Conv
becomes
    rows → Reshape, Transpose of bytes → Cast → Add → Conv with scaled weights

Bytes are four times cheaper to transpose than floats, and adding in NHWC broadcasts badly. The shift
can't go into the convolution's bias as well where that pads: Keras pads after normalising.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporter.rewrite import Rewriter

Floats = NDArray[np.float64]
CHANNELS = 3
_LAYOUT = ("Reshape", "Transpose")


@dataclass
class _Head:
    """Nodes before the first convolution, and scale and shift per channel, float64 [3] or [1]."""

    scale: Floats = field(default_factory=lambda: np.ones(1))
    shift: Floats = field(default_factory=lambda: np.zeros(1))
    layout: list[onnx.NodeProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)


def fold_head(rewriter: Rewriter) -> None:
    """Rewrites the head of a branch if it has this form, else leaves it alone."""
    found = _read_head(rewriter)
    constants = None if found is None else _weights_and_bias(rewriter, found[1])
    if found is None or constants is None:
        return
    (head, convolution), (weights, bias) = found, constants
    if np.any(head.scale == 0) or weights.shape[1] != CHANNELS:
        return
    per_channel = [1, -1] + [1] * (weights.ndim - 2)
    add = None
    if _pads(convolution) and np.any(head.shift):
        add = (head.shift / head.scale).reshape(per_channel)
    else:
        shifts = weights * head.shift.reshape(per_channel)
        bias = bias + shifts.sum(axis=tuple(range(1, weights.ndim)))
    scaled = weights * head.scale.reshape(per_channel)
    rewriter.replace([*head.nodes, convolution], *_folded(rewriter, head, convolution, add, (scaled, bias)))


def _folded(
    rewriter: Rewriter,
    head: _Head,
    convolution: onnx.NodeProto,
    add: Floats | None,
    weights_and_bias: tuple[Floats, Floats],
) -> list[onnx.NodeProto]:
    nodes, last = [], "rows"
    for index, node in enumerate(head.layout):
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        moved.input[0], moved.output[0] = last, f"bytes_{index}"
        nodes.append(moved)
        last = moved.output[0]
    nodes.append(helper.make_node("Cast", [last], ["pixels"], "pixels", to=TensorProto.FLOAT))
    last = "pixels"
    if add is not None:
        shift = rewriter.add_constant(add.astype(np.float32))
        nodes.append(helper.make_node("Add", [last, shift], ["shifted"], "shifted"))
        last = "shifted"
    constants = [rewriter.add_constant(value.astype(np.float32)) for value in weights_and_bias]
    folded = onnx.NodeProto()
    folded.CopyFrom(convolution)
    folded.input[:] = [last, *constants]
    return [*nodes, folded]


def _read_head(rewriter: Rewriter) -> tuple[_Head, onnx.NodeProto] | None:
    """Follows the rows to the first convolution and gives both; None if something else is in between."""
    head, tensor = _Head(), "rows"
    while (node := rewriter.only_consumer(tensor)) is not None:
        if node.op_type == "Conv":
            return head, node
        if node.op_type in _LAYOUT:
            if _transposed(head) or not _keeps_channels(rewriter, node):
                return None
            head.layout.append(node)
        elif not _is_float_cast(node) and not _fold_arithmetic(rewriter, head, node, tensor):
            return None
        head.nodes.append(node)
        tensor = node.output[0]
    return None


def _fold_arithmetic(rewriter: Rewriter, head: _Head, node: onnx.NodeProto, tensor: str) -> bool:
    """Takes a Mul, Add, Sub or Div by a constant per channel into scale and shift."""
    other = [name for name in node.input if name != tensor]
    value = rewriter.constant(other[0]) if len(other) == 1 else None
    if value is None or not _per_channel(value, axis=_channel_axis(head)):
        return False
    constant = value.astype(np.float64).reshape(-1)
    constant_first = node.input[1] == tensor
    match node.op_type:
        case "Mul":
            head.scale, head.shift = head.scale * constant, head.shift * constant
        case "Div" if not constant_first:
            head.scale, head.shift = head.scale / constant, head.shift / constant
        case "Add":
            head.shift = head.shift + constant
        case "Sub" if not constant_first:
            head.shift = head.shift - constant
        case _:
            return False
    return True


def _is_float_cast(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT


def _per_channel(value: NDArray[np.generic], axis: int) -> bool:
    """True for one number, and for one number per channel; `axis` counts from the end."""
    return value.size == 1 or (value.ndim >= -axis and value.size == value.shape[axis] == CHANNELS)


def _channel_axis(head: _Head) -> int:
    permutations = [list(node.attribute[0].ints) for node in head.layout if node.op_type == "Transpose"]
    return 1 - len(permutations[0]) if permutations else -1


def _transposed(head: _Head) -> bool:
    return any(node.op_type == "Transpose" for node in head.layout)


def _keeps_channels(rewriter: Rewriter, node: onnx.NodeProto) -> bool:
    """True for reshaping the axes before height, and for channels last → channels first."""
    if node.op_type == "Transpose":
        return list(node.attribute[0].ints) in ([0, 3, 1, 2], [0, 4, 1, 2, 3])
    return rewriter.shape(node.output[0])[-3:] == rewriter.shape(node.input[0])[-3:]


def _pads(convolution: onnx.NodeProto) -> bool:
    attributes = {item.name: helper.get_attribute_value(item) for item in convolution.attribute}
    return any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") not in (
        b"NOTSET",
        b"VALID",
    )


def _weights_and_bias(rewriter: Rewriter, convolution: onnx.NodeProto) -> tuple[Floats, Floats] | None:
    """Both in float64; the bias is 0 if there is none. None if one is computed."""
    weights = rewriter.constant(convolution.input[1])
    if weights is None:
        return None
    if len(convolution.input) == 2:
        return weights.astype(np.float64), np.zeros(len(weights))
    bias = rewriter.constant(convolution.input[2])
    return None if bias is None else (weights.astype(np.float64), bias.astype(np.float64))
