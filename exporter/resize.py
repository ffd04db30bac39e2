"""Sizes and places of Resize, which the converter gives as factors in float32 that are a little too small."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from exporter.rewrite import Rewriter, attributes


def settle_resizes(rewriter: Rewriter) -> None:
    """Makes every Resize give as many pixels as Keras does, and the nearest of them the same ones."""
    for resize in rewriter.nodes("Resize"):
        scales = rewriter.constant(resize.input[2]) if len(resize.input) == 3 else None
        sizes = rewriter.shape(resize.input[0])
        if scales is None or not sizes or not np.any(scales % 1):
            continue
        axes = [axis for axis, scale in enumerate(scales) if scale != 1]
        if not all(isinstance(sizes[axis], int) for axis in axes):
            continue
        before = {axis: int(sizes[axis]) for axis in axes}
        if attributes(resize).get("coordinate_transformation_mode") == b"tf_half_pixel_for_nn":
            _gather(rewriter, resize, before, scales)
        else:
            resize.input[2] = rewriter.add_constant(_reaching(scales, before))


def _gather(
    rewriter: Rewriter, resize: onnx.NodeProto, before: dict[int, int], scales: NDArray[np.generic]
) -> None:
    """Takes rows and columns by constant numbers: a factor's last digit decides over a whole pixel."""
    tensor, nodes = resize.input[0], []
    for axis, size in before.items():
        places = rewriter.add_constant(_nearest(size, round(size * float(scales[axis]))))
        nodes.append(helper.make_node("Gather", [tensor, places], [rewriter.unused_name(tensor)], axis=axis))
        tensor = nodes[-1].output[0]
    nodes[-1].output[0] = resize.output[0]
    rewriter.replace([resize], *nodes)


def _nearest(before: int, after: int) -> NDArray[np.int64]:
    """Which pixel each one comes from, rounded as TensorFlow rounds."""
    step = np.float32(before) / np.float32(after)
    places = np.floor((np.arange(after, dtype=np.float32) + np.float32(0.5)) * step)
    return np.asarray(np.minimum(places, before - 1), np.int64)


def _reaching(scales: NDArray[np.generic], before: dict[int, int]) -> NDArray[np.float32]:
    """The same factors, as much larger as it takes to make the last pixel too."""
    reaching = scales.astype(np.float32)
    for axis, size in before.items():
        after = round(size * float(scales[axis]))
        while size * float(reaching[axis]) < after:
            reaching[axis] = np.nextafter(reaching[axis], np.float32(np.inf))
    return reaching
