"""What a peer's handler does: decode, with the code of our server, and run the graph.

Or what one without either would write: Pillow, and the graph as tf2onnx made it.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.launch import Launch
from benchmarks.yardstick.session import absent, of_frames, one_thread
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import RowSpec


class Scorer:
    """One session on one thread. `probabilities` may be called from several threads at once."""

    def __init__(self, launch: Launch) -> None:
        self._session = one_thread(launch.model)
        self._raw = launch.raw
        self._encoded = launch.encoded
        self._size = launch.height, launch.width
        self._absent = absent(self._session)

    def frame(self, payload: bytes) -> NDArray[np.uint8]:
        """uint8 RGB [height, width, 3] of one request."""
        if self._encoded and self._raw:
            return _by_pillow(payload, *self._size)
        return frame_of(payload, *self._size, self._encoded)

    def probabilities(self, payloads: Sequence[bytes]) -> NDArray[np.float32]:
        """float32 [requests], from one run of the graph."""
        return self.of_frames(np.stack([self.frame(payload) for payload in payloads]))

    def of_tensor(self, given: NDArray[np.generic]) -> NDArray[np.float32]:
        """float32 [requests, 1] of a tensor of files, [requests, 1], or of frames."""
        if self._encoded:
            given = np.stack([self.frame(bytes(file)) for file in given[:, 0]])
        return self.of_frames(given.astype(np.uint8, copy=False)).reshape(-1, 1)

    def of_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [requests] of uint8 [requests, height, width, 3]; each frame is one request's only row."""
        if self._raw:
            (logits,) = self._session.run(["logit"], {"rows": frames})
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        feeds = {**self._absent, **of_frames(frames)}
        (probabilities,) = self._session.run(["fake_probability"], feeds)
        return np.asarray(probabilities, np.float32)


def frame_of(payload: bytes, height: int, width: int, encoded: bool) -> NDArray[np.uint8]:
    """uint8 RGB [height, width, 3] of a JPEG file if `encoded`, else of these very bytes."""
    if encoded:
        return decode(payload, RowSpec(height=height, width=width), MediaLimits()).frames.reshape(
            height, width, 3
        )
    return np.frombuffer(payload, np.uint8).reshape(height, width, 3)


def _by_pillow(payload: bytes, height: int, width: int) -> NDArray[np.uint8]:
    # Here, because only one workload needs it.
    from PIL import Image

    photo = Image.open(io.BytesIO(payload)).convert("RGB")
    return np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR))
