"""What servers are compared on: a model, and requests for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.keras_model import exported_model
from benchmarks.material.mean_graph import mean_graph
from benchmarks.material.media import generated_photos, photo
from benchmarks.peers.codecs import Pixels
from benchmarks.peers.scorer import frame_of
from benchmarks.yardstick import decoders
from server.engine.manifest import Precision
from server.engine.session import Session

_DIFFERENT_ROWS = 32
# Where a run takes less than its request does, it pays to answer many with one.
_SHORT_RUNS = 32


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request, to one model.

    Attributes:
        model: makes it the first time; .../<name>/<version>/model.onnx.
        size: pixels of a frame's side.
        encoded: whether requests are JPEG photos of 1.2 to 1.6 megapixels; otherwise frames of that size.
        batch: requests worth running together on this CPU; 1: none, convolutions gain nothing from it.
        cached: whether our server may answer from its cache what it has judged before.
        against_raw: whether peers decode with Pillow and run what tf2onnx made of the model's weights.
        precision: of the graph; that of `against_raw` is fp32.
    """

    name: str
    about: str
    model: Callable[[], Path]
    size: int
    encoded: bool = False
    batch: int = 1
    cached: bool = False
    against_raw: bool = False
    precision: Precision = "fp32"

    @property
    def pixels(self) -> Pixels:
        return Pixels(self.size, self.size, self.encoded)

    def of(self, model: Path, precision: Precision) -> "Workload":
        """The same with another exported detector, .../<name>/<version>/model.onnx.

        Raises:
            RuntimeError: its frames are not square, or this is not about a detector.
        """
        manifest = Session(model, "cpu").manifest
        if manifest.height != manifest.width or self.batch > 1:
            raise RuntimeError(f"{self.name} cannot be measured with {model}")
        about = f"{model} in {precision} instead of {self.about}"
        return replace(self, about=about, model=lambda: model, size=manifest.height, precision=precision)

    def payloads(self) -> list[bytes]:
        """Requests to cycle through, the same every time."""
        if self.encoded:
            return generated_photos(decoders.PHOTOS)
        return [photo(self.size, self.size, seed).tobytes() for seed in range(_DIFFERENT_ROWS)]

    def frame(self, payload: bytes) -> NDArray[np.uint8]:
        """uint8 RGB [size, size, 3] of one request."""
        return frame_of(payload, self.size, self.size, self.encoded)


_TENSORS = Workload(
    "tensors",
    "EfficientNetB0, frames of 256 × 256 decoded already",
    model=partial(exported_model, "efficientnetb0", 256),
    size=256,
)
_PHOTOS = replace(
    _TENSORS, name="photos", about="EfficientNetB0, JPEG of 1.2 to 1.6 megapixels", encoded=True
)
_DUPLICATES = replace(
    _PHOTOS, name="duplicates", about="the same few photos again and again, with our cache", cached=True
)
_PRODUCT = replace(
    _PHOTOS,
    name="product",
    about=f"{_PHOTOS.about}, and for peers the raw graph and Pillow",
    against_raw=True,
)
_TINY = Workload("tiny", "mean of 192 bytes: the server alone", lambda: mean_graph(8), 8, batch=_SHORT_RUNS)
_TINY_50K = replace(
    _TINY, name="tiny-50k", about="mean of 48 KiB: the server alone", model=lambda: mean_graph(128), size=128
)

WORKLOADS = {
    workload.name: workload for workload in (_TENSORS, _PHOTOS, _DUPLICATES, _PRODUCT, _TINY, _TINY_50K)
}
