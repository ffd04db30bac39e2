"""Lets ONNX Runtime multiply gates without leaving the layout that its convolutions have on the CPU."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from exporter.rewrite import Rewriter


def spread_gates(branch: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a branch in which gates grow to the size of the features that they are multiplied with.

    Squeeze-and-excitation (Hu et al., 2018) multiplies features [N, C, H, W] with gates [N, C, 1, 1]. ORT (up
    to 1.32) does that in its blocked layout, NCHWc, only if both have one shape; otherwise it takes
    the features out of the layout, multiplies, and puts them back.
    """
    spread = onnx.ModelProto()
    spread.CopyFrom(branch)
    rewriter = Rewriter(spread)
    for product in rewriter.nodes("Mul"):
        after = rewriter.only_consumer(product.output[0])
        if after is not None and after.op_type == "Conv":
            _spread(rewriter, product)
    return spread


def _spread(rewriter: Rewriter, product: onnx.NodeProto) -> None:
    gates, features = sorted(product.input, key=lambda tensor: rewriter.shape(tensor)[2:] != [1, 1])
    shape, small = rewriter.shape(features), rewriter.shape(gates)
    if len(shape) != 4 or small[1:] != [shape[1], 1, 1] or not all(isinstance(n, int) for n in shape[1:]):
        return
    if shape[2:] == [1, 1] or rewriter.constant(gates) is not None:
        return
    scales = rewriter.add_constant(np.array([1, 1, *shape[2:]], np.float32))
    large = rewriter.unused_name(gates)
    # Of all ways to repeat a value, this is the one that NCHWc has.
    repeat = helper.make_node(
        "Resize",
        [gates, "", scales],
        [large],
        name=large,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    equal = helper.make_node("Mul", [features, large], product.output, name=product.name)
    rewriter.replace([product], repeat, equal)
    # ORT cannot infer that there are as many rows of both.
    rows = f"rows of {features}"
    for tensor in (features, large):
        rewriter.graph.value_info.append(
            helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [rows, *shape[1:]])
        )
