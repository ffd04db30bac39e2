"""How raw rows are made, in words that can be hashed.

A model is only as good as the likeness of what it sees in service to what it saw in
training. Both read media through this package, and the exporter writes this hash into the
graph; the server refuses a graph that was trained on rows made in another way.
Change the text whenever rows change in a way that a model could notice. What ordinary media
never meet is not in it: channels that cancel each other or hold voices of their own, and silent or blank
rows, which no model is asked about.
"""

import hashlib
import json

PREPROCESSING = {
    "frames": "uint8 RGB, upright (EXIF, display matrix), alpha on white, squeezed to height x width with "
    "swscale AREA | ACCURATE_RND | FULL_CHR_H_INT; untagged video: BT.709 from 720 lines, else BT.601",
    "sampling": "the frames on screen at the centres of equal parts of the video",
    "crops": "native resolution, height x width, evenly placed; none if the picture is smaller",
    "clips": "consecutive frames at the clip stride from evenly placed anchors, moved onto a sampled frame "
    "within a quarter of their distance",
    "audio": "mean of the channels, float32 in [-1, 1], resampled by soxr HQ, repeated to fill a window",
}


def spec_hash() -> str:
    """First 16 hex digits of the SHA-256 of the preprocessing spec."""
    canonical = json.dumps(PREPROCESSING, sort_keys=True).encode()
    return hashlib.sha256(canonical).hexdigest()[:16]
