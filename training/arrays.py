"""What pictures and sound are while they are made, forged and published."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB as it is shown, [height, width, 3]."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness, as of JPEG (ITU-R BT.601)."""

Plane = NDArray[np.float32]
"""Linear light, about 0 to 1: [height, width, 3], or [height, width] of one colour."""

Pcm = NDArray[np.float64]
"""Mono sound, [samples]. Only what is written to a file must lie in [-1, 1]."""
