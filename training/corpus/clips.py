"""The bundled detector's silent clips: half real-like, half forged, from a seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.arrays import Picture
from training.corpus.camera import Camera
from training.corpus.pairs import split_of, write_pairs
from training.corpus.publish import MACROBLOCK, REPRODUCIBLE, encode_clip, x264_options
from training.corpus.scenes import Scene, scene
from training.draw import draw_operator, log_uniform
from training.forgery.flicker import ClipForgery, flicker, frame_upsampling, texture_flicker
from training.sample import WHOLE, Region, Sample

FORGERIES: dict[str, tuple[ClipForgery, float]] = {
    "flicker": (flicker, 0.6),
    "texture_flicker": (texture_flicker, 0.1),
    "frame_upsampling": (frame_upsampling, 0.3),
}
"""Name → operator and share of the fakes."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Codec settings that both of a pair share."""

    codec: str
    crf: int
    rate: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Encoding":
        codec = str(rng.choice(["libx264", "mpeg4"], p=[0.9, 0.1]))
        return cls(codec, int(rng.integers(15, 30)), int(rng.choice([24, 25, 30])))

    def encode(self, frames: list[Picture]) -> bytes:
        """MP4 bytes."""
        mpeg4 = {"qmin": str(max(1, self.crf // 4)), "qmax": str(max(2, self.crf // 3))}
        options = x264_options(self.crf) | REPRODUCIBLE if self.codec == "libx264" else mpeg4
        return encode_clip(frames, self.rate, self.codec, options)


def write_clips(folder: Path, count: int, seed: int, workers: int) -> list[Sample]:
    """Writes `count` clips below `folder` as {real,fake}/videos/…, every fake beside its real source.

    Both of a pair show the same scene, motion, noise and codec settings. The same seed gives the
    same files for any `workers`.

    Returns:
        One sample per file, as `training.corpus.images.write_images` does.
    """
    return write_pairs(_write_pair, folder, "videos", seed, -(-count // 2), workers)[:count]


def film(rng: np.random.Generator, frames: int) -> list[Picture]:
    """A take with camera and subject motion, sensor noise and drifting exposure, uint8 RGB."""
    short = log_uniform(rng, 200, 440)
    aspect = rng.choice([1, 1.25, 1.5, 1.78])
    height, width = (int(side) // MACROBLOCK * MACROBLOCK for side in (short, short * aspect))
    if rng.random() < 0.25:
        height, width = width, height
    room = 1.25
    wide = scene(rng, int(height * room), int(width * room))
    camera = Camera.random(rng)
    layers = _layers(camera, wide)
    paths = _paths(rng, frames)
    exposure = _exposure(rng, frames)
    grain = log_uniform(rng, 0.3, 6) * (rng.random() < 0.8)
    still = rng.random() < 0.1
    resampling = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[rng.integers(2)]
    take = []
    for index in range(frames):
        backdrop, subject, matte = (
            np.asarray(
                _seen(layer, paths[kind, 0 if still else index], (width, height), resampling), np.float32
            )
            for layer, kind in zip(layers, (0, 1, 1), strict=True)
        )
        weight = matte[..., None] / 255
        frame = (backdrop * (1 - weight) + subject * weight) * exposure[index]
        frame += grain * rng.standard_normal(frame.shape, dtype=np.float32)
        take.append(np.clip(frame + 0.5, 0, 255).astype(np.uint8))
    return take


def _layers(camera: Camera, wide: Scene) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Backdrop, subject and matte as 8-bit pictures; noise comes later, frame by frame."""
    quiet = np.random.default_rng(0)
    white = max(float(np.percentile(wide.flat()[::4, ::4], 98)), 1e-3)
    backdrop, subject = (
        Image.fromarray(camera.develop(np.clip(layer / white, 0, 1.2), quiet))
        for layer in (wide.backdrop, wide.subject)
    )
    return backdrop, subject, Image.fromarray((wide.matte * 255).astype(np.uint8))


def _paths(rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """Right, down, turn, zoom of backdrop and subject per frame: [2, frames, 4], pixels and radians."""
    time = np.arange(frames)[:, None] / frames
    pan = rng.normal(0, 1, (1, 4)) * (15, 10, 0.01, 0.06) * rng.choice([0, 1, 1, 2])
    shake = np.cumsum(rng.normal(0, 1, (frames, 4)), axis=0) * (1, 1, 0.002, 0.002) * rng.uniform(0, 1)
    jitter = rng.normal(0, 1, (frames, 4)) * (0.4, 0.4, 0.001, 0.001) * rng.uniform(0, 1)
    camera = pan * time + shake + jitter
    if rng.random() < 0.15:
        camera = np.round(camera * (1, 1, 0, 0))
    walk = rng.normal(0, 1, (1, 4)) * (20, 12, 0.05, 0.05) * rng.uniform(0, 1)
    nod = (
        np.sin(2 * np.pi * (rng.uniform(0.3, 2) * time + rng.random()))
        * rng.normal(0, 1, (1, 4))
        * (3, 3, 0.02, 0.01)
    )
    return np.stack([camera, camera + walk * time + nod])


def _exposure(rng: np.random.Generator, frames: int) -> NDArray[np.float32]:
    """Gain per frame, [frames]: automatic exposure drifts, lamps flicker over the whole picture."""
    drift = rng.normal(0, 0.08) * np.linspace(0, 1, frames) * (rng.random() < 0.4)
    lamp = rng.normal(0, 0.02, frames) * (rng.random() < 0.25)
    return np.exp(drift + lamp).astype(np.float32)


def _seen(
    layer: Image.Image, place: NDArray[np.float64], size: tuple[int, int], resampling: Image.Resampling
) -> Image.Image:
    """The part of a layer in the finder, `size` is width, height."""
    right, down, turn, zoom = place
    scale = np.exp(zoom)
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    x, y = size[0] / 2, size[1] / 2
    centre_x, centre_y = layer.width / 2 + right, layer.height / 2 + down
    inverse = (cos, sin, centre_x - cos * x - sin * y, -sin, cos, centre_y + sin * x - cos * y)
    return layer.transform(size, Image.Transform.AFFINE, inverse, resampling)


def _write_pair(folder: Path, seed: int, index: int) -> tuple[Sample, Sample]:
    rng = np.random.default_rng((seed, index, 2))
    take = film(rng, frames=int(rng.integers(12, 17)))
    encoding = Encoding.random(rng)
    name, forgery = draw_operator(rng, FORGERIES)
    forged, region = forgery(rng, take)
    group, split = f"clip{index:06d}", split_of(index, seed)

    def write(kind: str, frames: list[Picture], operator: str, forged_region: Region) -> Sample:
        path = Path(kind, "videos", f"{group}.mp4")
        (folder / path).write_bytes(encoding.encode(frames))
        return Sample(path.as_posix(), "video", int(kind == "fake"), split, group, operator, forged_region)

    return write("real", take, "none", WHOLE), write("fake", forged, name, region)
