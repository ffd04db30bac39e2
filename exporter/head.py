"""Folds scaling and normalisation of the pixels into the first convolution.

    rows → Transpose of bytes → Cast → Mul, Add, … → Conv   becomes   … → Cast → Add → Conv

The shift stays an Add where the convolution pads (its bias can't tell the border from the inside,
and Keras pads after normalising); else it goes into the bias.
"""

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporter.rewrite import Rewriter, attributes

Floats = NDArray[np.float64]
_CHANNELS = 3


@dataclass
class _Scaling:
    """pixels · scale + shift, each float64 [3] or [1], and the nodes that compute it."""

    scale: Floats = field(default_factory=lambda: np.ones(1))
    shift: Floats = field(default_factory=lambda: np.zeros(1))
    nodes: list[onnx.NodeProto] = field(default_factory=list)


def fold_head(rewriter: Rewriter) -> None:
    """Rewrites every chain of this form from a Cast to its one convolution; leaves others alone."""
    for cast in rewriter.nodes("Cast"):
        if cast.attribute[0].i == TensorProto.FLOAT:
            _fold(rewriter, cast.output[0])


def _fold(rewriter: Rewriter, pixels: str) -> None:
    scaling, tensor = _Scaling(), pixels
    while (node := rewriter.only_consumer(tensor)) is not None and _absorb(rewriter, scaling, node, tensor):
        scaling.nodes.append(node)
        tensor = node.output[0]
    constants = None if node is None else _weights_and_bias(rewriter, node)
    if node is None or constants is None or not scaling.nodes or np.any(scaling.scale == 0):
        return
    weights, bias = constants
    per_channel = [1, -1] + [1] * (weights.ndim - 2)
    folded = deepcopy(node)
    folded.input[0] = pixels
    new = [folded]
    if _pads(node) and np.any(scaling.shift):
        shift = (scaling.shift / scaling.scale).reshape(per_channel).astype(np.float32)
        folded.input[0] = rewriter.unused_name("shifted")
        new.insert(0, helper.make_node("Add", [pixels, rewriter.add_constant(shift)], [folded.input[0]]))
    else:
        bias = bias + (weights * scaling.shift.reshape(per_channel)).sum(axis=tuple(range(1, weights.ndim)))
    weights = weights * scaling.scale.reshape(per_channel)
    folded.input[1:] = [rewriter.add_constant(value.astype(np.float32)) for value in (weights, bias)]
    rewriter.replace([*scaling.nodes, node], *new)


def _absorb(rewriter: Rewriter, scaling: _Scaling, node: onnx.NodeProto, tensor: str) -> bool:
    """Takes a Mul, Add, Sub or Div by a constant per channel into scale and shift, if it is one."""
    other = [name for name in node.input if name != tensor]
    value = rewriter.constant(other[0]) if len(other) == 1 else None
    if value is None or not _per_channel(value, len(rewriter.shape(node.output[0]))):
        return False
    constant = value.astype(np.float64).reshape(-1)
    constant_first = node.input[1] == tensor
    match node.op_type:
        case "Mul":
            scaling.scale, scaling.shift = scaling.scale * constant, scaling.shift * constant
        case "Div" if not constant_first:
            scaling.scale, scaling.shift = scaling.scale / constant, scaling.shift / constant
        case "Add":
            scaling.shift = scaling.shift + constant
        case "Sub" if not constant_first:
            scaling.shift = scaling.shift - constant
        case _:
            return False
    return True


def _per_channel(value: NDArray[np.generic], rank: int) -> bool:
    """True for one number, and for one number per channel of a tensor with its channels first."""
    if value.size == 1:
        return True
    return value.ndim >= rank - 1 and value.size == value.shape[1 - rank] == _CHANNELS


def _weights_and_bias(rewriter: Rewriter, node: onnx.NodeProto) -> tuple[Floats, Floats] | None:
    """Both in float64, the bias 0 if there is none; None if the node is no convolution of pixels."""
    weights = rewriter.constant(node.input[1]) if node.op_type == "Conv" else None
    if weights is None or weights.shape[1] != _CHANNELS:
        return None
    bias = rewriter.constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(weights))
    return None if bias is None else (weights.astype(np.float64), bias.astype(np.float64))


def _pads(convolution: onnx.NodeProto) -> bool:
    found = attributes(convolution)
    return any(found.get("pads", ())) or found.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
