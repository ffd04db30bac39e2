"""How much fine detail a picture has, by place and frequency: the traces of how it was made."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray
from scipy.fft import idct

from training.arrays import LUMA

_CHROMA = np.array([[-0.169, 0.5], [-0.331, -0.419], [0.5, -0.081]])
_LUMA_BLOCK, _CHROMA_BLOCK, _STEP = 8, 4, 4
# In squared grey levels: what rounding makes of a flat part does not count.
_FLOOR = 0.5

_Floats = NDArray[np.float32]


@keras.saving.register_keras_serializable(package="deepfake")
class LocalSpectrum(layers.Layer):  # type: ignore[misc]
    """Pixels [B, H, W, 3] in grey levels → log power [B, H / 8, W / 8, C]; nothing of it is learned.

    Cosine transforms of overlapping blocks, of brightness and of colours. A band is what a frequency
    and its transposed have together. Every place has the mean of its blocks and the lowest of those
    around it: in the flattest there is nothing but noise, and what compression left of it.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._views = [
            (np.reshape(LUMA, (1, 1, 3, 1)).astype(np.float32), *_blocks(_LUMA_BLOCK, 1)),
            (_CHROMA[None, None].astype(np.float32), *_blocks(_CHROMA_BLOCK, 2)),
        ]
        super().build(input_shape)

    def call(self, pixels: Any) -> Any:
        features = []
        for mix, blocks, bands in self._views:
            parts = ops.conv(_mirrored(ops.conv(pixels, mix), len(blocks)), blocks, _STEP, "valid")
            power = ops.log(ops.conv(ops.square(parts), bands) + _FLOOR)
            lowest = -ops.max_pool(-power, 4, 2, "same")
            features += [ops.average_pool(power, 2, 2, "same"), lowest]
        return ops.concatenate(features, axis=-1)


def _mirrored(planes: Any, block: int) -> Any:
    """With borders for a block at every step; zeros would look like edges."""
    missing = [(-(-size // _STEP) - 1) * _STEP + block - size for size in planes.shape[1:3]]
    if not any(missing):
        return planes
    borders = [(amount // 2, amount - amount // 2) for amount in missing]
    return ops.pad(planes, [(0, 0), *borders, (0, 0)], mode="reflect")


def _blocks(side: int, planes: int) -> tuple[_Floats, _Floats]:
    """Kernels: planes → their cosine transforms without the mean, and the squares of these → bands."""
    basis = idct(np.eye(side), norm="ortho", axis=0)
    waves = np.einsum("yu,xv->yxuv", basis, basis).reshape(side, side, -1)[..., 1:]
    down, across = (index.ravel()[1:] for index in np.mgrid[0:side, 0:side])
    pairs = np.minimum(down, across) * side + np.maximum(down, across)
    bands = (pairs[:, None] == np.unique(pairs)).astype(np.float32)
    each = np.eye(planes)
    transforms = np.einsum("yxk,pq->yxpqk", waves, each).reshape(side, side, planes, -1)
    return transforms.astype(np.float32), np.kron(each, bands)[None, None].astype(np.float32)
