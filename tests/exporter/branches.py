"""Branches as the exporter's clean() leaves them, small, written in milliseconds without TensorFlow."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from exporter.nodes import Nodes
from exporter.parity import open_graph
from tests.graphs import row_graph

SIZE, SAMPLES, CHANNELS = 16, 256, 8


def image_branch(outlier: float = 1.0) -> onnx.ModelProto:
    """Pixels → first → two residual blocks, inner_0 to inner_3 → last → heatmap and logit.

    Args:
        outlier: how much larger one channel between inner_0 and inner_1 is than the others; no answer
            depends on it, but 8 bits for all channels together leave few for the rest.
    """
    random = np.random.default_rng(0)
    nodes = Nodes("")
    pixels = nodes.add("Cast", nodes.add("Transpose", "rows", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    scaled = nodes.add("Mul", pixels, nodes.constant(1 / 255))
    x = nodes.add("Relu", _conv(nodes, scaled, _weights(random, CHANNELS, 3, 3), "first", pad=1))
    for block, scale in enumerate((outlier, 1.0)):
        before, after = (_weights(random, CHANNELS, CHANNELS, 1) for _ in range(2))
        before[0] = scale * np.abs(before[0])
        after[:, 0] /= scale
        inner = nodes.add("Relu", _conv(nodes, x, before, f"inner_{2 * block}"), output=f"relu_{block}")
        x = nodes.add("Add", x, _conv(nodes, inner, after, f"inner_{2 * block + 1}"), output=f"sum_{block}")
    cells = _conv(nodes, x, 4 * _weights(random, 1, CHANNELS, 1), "last")
    nodes.add("Reshape", cells, nodes.constant([-1, SIZE, SIZE], np.int64), output="heatmap")
    pooled = nodes.add("GlobalAveragePool", cells)
    nodes.add("Reshape", pooled, nodes.constant([-1], np.int64), output="logit")
    return row_graph(
        nodes, TensorProto.UINT8, [SIZE, SIZE, 3], {"logit": ["N"], "heatmap": ["N", SIZE, SIZE]}
    )


def audio_branch() -> onnx.ModelProto:
    """Samples → spectrum, a matrix product → logarithm → first → inner → last → logit."""
    random = np.random.default_rng(1)
    nodes = Nodes("")
    frames = nodes.add("Reshape", "rows", nodes.constant([-1, SAMPLES // 16, 16], np.int64))
    spectrum = nodes.add("MatMul", frames, nodes.constant(random.normal(0, 1, (16, 16))), output="spectrum")
    power = nodes.add("Add", nodes.add("Mul", spectrum, spectrum), nodes.constant(1e-10))
    x = nodes.add("Log", power)
    for name in ("mixed", "inner"):
        weights = nodes.constant(random.normal(0, 0.3, (16, 16)))
        x = nodes.add("Relu", nodes.add("MatMul", x, weights, output=name))
    pooled = nodes.add("ReduceMean", x, axes=[1], keepdims=0)
    last = nodes.add("MatMul", pooled, nodes.constant(random.normal(0, 0.3, (16, 1))), output="last")
    nodes.add("Reshape", last, nodes.constant([-1], np.int64), output="logit")
    return row_graph(nodes, TensorProto.FLOAT, [SAMPLES], {"logit": ["N"]})


def image_rows(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of different brightness and strength, uint8 [count, SIZE, SIZE, 3]."""
    random = np.random.default_rng(seed)
    noise = random.uniform(1, 60, (count, 1, 1, 1)) * random.normal(0, 1, (count, SIZE, SIZE, 3))
    levels = random.uniform(20, 230, (count, 1, 1, 3)) + noise
    return np.clip(levels, 0, 255).astype(np.uint8)


def audio_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise of different loudness, float32 [count, SAMPLES]."""
    random = np.random.default_rng(seed)
    loudness = 10 ** random.uniform(-3, -0.5, (count, 1))
    return (loudness * random.normal(0, 1, (count, SAMPLES))).astype(np.float32)


def rows_of(modality: str, count: int, seed: int = 0) -> NDArray[np.generic]:
    return image_rows(count, seed) if modality == "image" else audio_rows(count, seed)


def logits(branch: onnx.ModelProto, rows: NDArray[np.generic]) -> NDArray[np.float32]:
    (answers,) = open_graph(branch.SerializeToString()).run(["logit"], {"rows": rows})
    return np.asarray(answers)


BRANCHES = {"image": image_branch, "audio": audio_branch}


def _weights(random: np.random.Generator, outputs: int, inputs: int, size: int) -> NDArray[np.float64]:
    return random.normal(0, (inputs * size * size) ** -0.5, (outputs, inputs, size, size))


def _conv(nodes: Nodes, x: str, weights: NDArray[np.float64], name: str, pad: int = 0) -> str:
    return nodes.add("Conv", x, nodes.constant(weights), output=name, pads=[pad] * 4)
