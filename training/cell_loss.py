"""What the heatmap is trained on where masks say which cells are forged."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from training.masks import FORGED, UNKNOWN


class CellLoss(keras.losses.Loss):  # type: ignore[misc]
    """Cells [B, h, w] as in `training.masks`, and logits of a heatmap that may be coarser → [B].

    An image's label alone lets a small network learn scenes instead of where traces are.
    """

    def call(self, cells: Any, logits: Any) -> Any:
        # All cells of a row are known, or none.
        share = tf.image.resize(cells[..., None], logits.shape[1:], "area") / FORGED
        # Between the two: means of cells that are all FORGED may round up a little.
        known = ops.cast(share < (FORGED + UNKNOWN) / 2 / FORGED, logits.dtype)[..., 0]
        loss = keras.losses.binary_crossentropy(share, logits[..., None], from_logits=True)
        return ops.mean(known * loss, axis=(1, 2))
