"""What a peer's handler does: decode, with the code of our server, and run the graph."""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.peers.launch import Launch
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import RowSpec


class Scorer:
    """One session on one thread. `probabilities` may be called from several threads at once."""

    def __init__(self, launch: Launch) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(launch.model, options, providers=["CPUExecutionProvider"])
        self._encoded = launch.encoded
        self._shape = launch.height, launch.width, 3
        self._spec = RowSpec(height=launch.height, width=launch.width)
        self._limits = MediaLimits()
        self._absent = {
            given.name: np.zeros(
                [size if isinstance(size, int) else 0 for size in given.shape],
                np.float32 if "float" in given.type else np.int64,
            )
            for given in self._session.get_inputs()
        }

    def frame(self, payload: bytes) -> NDArray[np.uint8]:
        """uint8 [height, width, 3] of one request."""
        if self._encoded:
            return decode(payload, self._spec, self._limits).frames.reshape(self._shape)
        return np.frombuffer(payload, np.uint8).reshape(self._shape)

    def probabilities(self, payloads: Sequence[bytes]) -> NDArray[np.float32]:
        """float32 [requests], from one run of the graph."""
        return self.of_frames(np.stack([self.frame(payload) for payload in payloads]))

    def of_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [requests] of uint8 [requests, height, width, 3]; each frame is one request's only row."""
        rows = np.arange(len(frames), dtype=np.int64)
        given = {
            "frames": frames,
            "image_index": rows,
            "image_request": rows,
            "weights": np.tile(np.array([1, 0, 0], np.float32), (len(frames), 1)),
        }
        (probabilities,) = self._session.run(["fake_probability"], {**self._absent, **given})
        return np.asarray(probabilities, np.float32)
