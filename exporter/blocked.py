"""What ONNX Runtime needs to keep convolutions on the CPU in its blocked layout, NCHWc, from end to end.

It leaves that layout, or takes longer ways in it, wherever it cannot tell that two tensors have one shape.
"""

from copy import deepcopy

import numpy as np
import onnx
from onnx import helper

from exporter.rewrite import Rewriter


def name_rows(graph: onnx.ModelProto) -> None:
    """Names the number of feature maps that a Reshape makes, such as all frames of some clips.

    ORT does not infer that number. It then reshapes both sides of a sum, without merging it into a
    convolution, and refuses zero rows (up to 1.31).
    """
    rewriter = Rewriter(graph)
    for reshape in rewriter.nodes("Reshape"):
        maps = reshape.output[0]
        shape = rewriter.shape(maps)
        if _is_maps(shape) and isinstance(shape[0], str):
            _tell_shape(rewriter, maps, rewriter.dtype(maps), [f"rows of {maps}", *shape[1:]])


def spread_gates(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph in which gates grow to the size of the features that they are multiplied with.

    Squeeze-and-excitation (Hu et al., 2018) multiplies features [N, C, H, W] with gates [N, C, 1, 1]. ORT (up
    to 1.32) does that in NCHWc only if both have one shape; otherwise it takes the features out of the
    layout, multiplies, and puts them back.
    """
    spread = deepcopy(graph)
    rewriter = Rewriter(spread)
    for product in rewriter.nodes("Mul"):
        after = rewriter.only_consumer(product.output[0])
        if after is not None and after.op_type == "Conv":
            _spread(rewriter, product)
    return spread


def _spread(rewriter: Rewriter, product: onnx.NodeProto) -> None:
    gates, features = sorted(product.input, key=lambda tensor: rewriter.shape(tensor)[2:] != [1, 1])
    shape, small = rewriter.shape(features), rewriter.shape(gates)
    if not _is_maps(shape) or shape[2:] == [1, 1] or small[1:] != [shape[1], 1, 1]:
        return
    if rewriter.constant(gates) is not None:
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
    _tell_shape(rewriter, large, rewriter.dtype(features), shape)


def _is_maps(shape: list[int | str]) -> bool:
    return len(shape) == 4 and all(isinstance(size, int) for size in shape[1:])


def _tell_shape(rewriter: Rewriter, tensor: str, dtype: int, shape: list[int | str]) -> None:
    rewriter.graph.value_info.append(helper.make_tensor_value_info(tensor, dtype, shape))
