"""What keeps ONNX Runtime from merging a padding by zeros into the maximum behind it."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from exporter.rewrite import Rewriter, attributes


def replace_zero_padded_maximum(rewriter: Rewriter) -> None:
    """Pad with zeros + MaxPool → MaxPool with pads + Max with a constant.

    ORT's Pad_Fusion (up to 1.31) merges the pair as it stands into a MaxPool with pads, whose padding
    is -inf instead of 0 (seen in ResNet50V2). Here the zeros enter after the maximum, where they count.
    """
    for pad in rewriter.nodes("Pad"):
        pool = rewriter.only_consumer(pad.output[0])
        pads = _spatial_zero_padding(rewriter, pad)
        if pool is None or pool.op_type != "MaxPool" or pads is None:
            continue
        found = attributes(pool)
        dilated = any(size != 1 for size in found.get("dilations", ()))
        if dilated or any(found.get("pads", ())) or found.get("ceil_mode", 0):
            continue
        if any(amount >= size for amount, size in zip(pads, 2 * found["kernel_shape"], strict=True)):
            continue  # a MaxPool refuses windows that see nothing but padding
        sizes = [int(size) for size in rewriter.shape(pad.input[0])[2:]]
        border = _border(sizes, pads, found["kernel_shape"], found["strides"])
        inner = rewriter.unused_name(pool.output[0])
        rewriter.replace(
            [pad, pool],
            helper.make_node("MaxPool", [pad.input[0]], [inner], **(found | {"pads": pads})),
            helper.make_node("Max", [inner, rewriter.add_constant(border)], [pool.output[0]]),
        )


def _spatial_zero_padding(rewriter: Rewriter, pad: onnx.NodeProto) -> list[int] | None:
    """The pads as MaxPool writes them; None if it pads otherwise."""
    pads = rewriter.constant(pad.input[1])
    value = rewriter.constant(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    if pads is None or value is None or np.any(value) or len(pad.input) > 3:
        return None
    if attributes(pad).get("mode", b"constant") != b"constant":
        return None
    before, after = np.split(pads.astype(int), 2)
    if np.any(before < 0) or np.any(after < 0) or any((*before[:2], *after[:2])):
        return None
    return [*before[2:].tolist(), *after[2:].tolist()]


def _border(
    sizes: Sequence[int], pads: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> NDArray[np.float32]:
    """Float32 [1, 1, …]: 0 where the pool's window reaches into the padding, else the lowest number."""
    rank = len(sizes)
    touches = np.zeros([1] * rank, bool)
    for axis, (size, step, length) in enumerate(zip(sizes, strides, kernel, strict=True)):
        before, after = pads[axis], pads[rank + axis]
        starts = np.arange(0, before + size + after - length + 1, step) - before
        outside = (starts < 0) | (starts + length > size)
        touches = touches | outside.reshape([-1 if other == axis else 1 for other in range(rank)])
    lowest = np.finfo(np.float32).min
    return np.where(touches, np.float32(0), lowest).astype(np.float32)[None, None]
