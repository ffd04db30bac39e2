"""A session as plain as can be, and inputs of which each frame is one request's only row."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Feeds = dict[str, NDArray[np.generic]]
Provider = tuple[str, dict[str, Any]]
"""An execution provider with its options, as ONNX Runtime takes it."""

CPU: Provider = ("CPUExecutionProvider", {})


def one_thread(graph: Path | str | bytes) -> ort.InferenceSession:
    """A session on one thread of the CPU, of an ONNX file or its content."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=[CPU])


def of_frames(frames: NDArray[np.uint8]) -> Feeds:
    """The inputs that depend on the frames, uint8 [requests, height, width, 3]."""
    rows = np.arange(len(frames), dtype=np.int64)
    return {
        "frames": frames,
        "image_index": rows,
        "image_request": rows,
        "weights": np.tile(np.array([1, 0, 0], np.float32), (len(frames), 1)),
    }


def absent(session: ort.InferenceSession) -> Feeds:
    """For each input of the session an array without rows, float32 or int64; `frames` need another."""
    return {
        given.name: np.zeros(
            [size if isinstance(size, int) else 0 for size in given.shape],
            np.float32 if "float" in given.type else np.int64,
        )
        for given in session.get_inputs()
    }
