"""The bundled detector's photographs: half real-like, half forged, from a seed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from training.arrays import Picture
from training.corpus.camera import Camera
from training.corpus.pairs import split_of, write_pairs
from training.corpus.publish import SHRINKERS, Publication, recompress, shrink
from training.corpus.scenes import scene
from training.draw import draw_operator, log_uniform
from training.forgery.blend import self_blend
from training.forgery.inconsistency import colour_region, compressed_region, noise_region
from training.forgery.masks import Mask, region_of, save_mask
from training.forgery.resample import upsample_region, upsample_whole
from training.sample import Sample

Forgery = Callable[[np.random.Generator, Picture], tuple[Picture, Mask]]

FORGERIES: dict[str, tuple[Forgery, float]] = {
    "self_blend": (self_blend, 0.34),
    "upsample_whole": (upsample_whole, 0.1),
    "upsample_region": (upsample_region, 0.16),
    "noise_region": (noise_region, 0.17),
    "colour_region": (colour_region, 0.17),
    "compressed_region": (compressed_region, 0.06),
}
"""Name → operator and share of the fakes."""


def write_images(folder: Path, count: int, seed: int, workers: int) -> list[Sample]:
    """Writes `count` pictures below `folder` as {real,fake}/images/…, every fake beside its real source.

    The mask of a fake goes to masks/….

    Both of a pair go through the same publication (size, adjustments, format, quality), so that
    only the forgery tells them apart. The same seed gives the same files for any `workers`.

    Returns:
        One sample per file, paths relative to `folder`; about 70/15/15 % of the pairs in the
        training, validation and test split.
    """
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    return write_pairs(_write_pair, folder, "images", seed, -(-count // 2), workers)[:count]


def photograph(rng: np.random.Generator) -> Picture:
    """A photo from a camera or a website: uint8 [height, width, 3], 144 to 1400 pixels a side."""
    side = log_uniform(rng, 320, 900)
    aspect = float(np.exp(rng.uniform(-0.35, 0.35)))
    scale = rng.uniform(0.45, 1.0) if rng.random() < 0.45 else 1.0
    # Large sensors cost time; their pictures differ only in having more of the same.
    height, width = (max(256, min(1400, int(side * ratio / scale))) for ratio in (aspect, 1 / aspect))
    camera = Camera.random(rng)
    picture = camera.develop(camera.optics(scene(rng, height, width).flat()), rng)
    if rng.random() < 0.5:
        picture = recompress(picture, int(rng.integers(80, 99)), int(rng.choice([0, 1, 2])))
    image = shrink(Image.fromarray(picture), scale, SHRINKERS[rng.integers(len(SHRINKERS))])
    picture = np.asarray(image)
    if scale < 1 and rng.random() < 0.5:
        picture = recompress(picture, int(rng.integers(75, 97)), int(rng.choice([0, 2])))
    return picture


def _write_pair(folder: Path, seed: int, index: int) -> tuple[Sample, Sample]:
    rng = np.random.default_rng((seed, index))
    picture = photograph(rng)
    publication = Publication.random(rng)
    name, forgery = draw_operator(rng, FORGERIES)
    forged, mask = forgery(rng, picture)
    group, split = f"image{index:06d}", split_of(index, seed)
    mask_path = Path("masks", f"{group}.png")
    save_mask(folder / mask_path, mask)

    def write(kind: str, content: Picture) -> str:
        path = Path(kind, "images", f"{group}{publication.suffix}")
        (folder / path).write_bytes(publication.encode(content))
        return path.as_posix()

    real = Sample(write("real", picture), "image", 0, split, group)
    fake = Sample(
        write("fake", forged), "image", 1, split, group, name, region_of(mask), mask=mask_path.as_posix()
    )
    return real, fake
