"""What happens to any picture, forged or not, on its way to the viewer.

Real and forged media go through the same calls with the same draws, so that nothing here
tells them apart.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from training.arrays import Picture

MACROBLOCK = 16
"""x264 reads past the edge of other sizes, and then no two runs give the same bytes."""

REPRODUCIBLE = {"x264-params": "cpu-independent=1"}
"""For `encode_clip`. Otherwise x264's macroblock tree reads memory that nobody has written to, and some clips
differ from run to run."""

SHRINKERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


@dataclass(frozen=True, slots=True)
class Publication:
    """Benign processing and a file format, fixed, to be applied to both of a pair.

    Attributes:
        scale: size afterwards over size before; 1 or less.
        shrinker: Pillow's filter for that.
        brightness, contrast, colour: factors; 1 leaves things as they are.
        sharpen: percent of an unsharp mask, 0 for none.
        codec_crf: quality of H.264 if the picture is a still of a video, else 0.
        suffix: ".jpg", ".png" or ".webp".
        quality, subsampling: of the JPEG or WebP; subsampling as Pillow counts it.
    """

    scale: float
    shrinker: Image.Resampling
    brightness: float
    contrast: float
    colour: float
    sharpen: int
    codec_crf: int
    suffix: str
    quality: int
    subsampling: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Publication":
        adjusted = rng.random() < 0.3
        return cls(
            scale=rng.uniform(0.6, 1.0) if rng.random() < 0.2 else 1.0,
            shrinker=SHRINKERS[rng.integers(len(SHRINKERS))],
            brightness=rng.uniform(0.8, 1.2) if adjusted else 1.0,
            contrast=rng.uniform(0.8, 1.2) if adjusted else 1.0,
            colour=rng.uniform(0.7, 1.3) if adjusted else 1.0,
            sharpen=int(rng.integers(20, 120)) if rng.random() < 0.15 else 0,
            codec_crf=int(rng.integers(16, 30)) if rng.random() < 0.12 else 0,
            suffix=str(rng.choice([".jpg", ".png", ".webp"], p=[0.65, 0.27, 0.08])),
            quality=int(rng.integers(70, 99)),
            subsampling=int(rng.choice([0, 1, 2], p=[0.35, 0.1, 0.55])),
        )

    def encode(self, picture: Picture) -> bytes:
        """The finished file's bytes."""
        image = shrink(Image.fromarray(picture), self.scale, self.shrinker)
        for enhance, factor in (
            (ImageEnhance.Brightness, self.brightness),
            (ImageEnhance.Contrast, self.contrast),
            (ImageEnhance.Color, self.colour),
        ):
            if factor != 1:
                image = enhance(image).enhance(factor)
        if self.sharpen:
            image = image.filter(ImageFilter.UnsharpMask(1, self.sharpen, 0))
        if self.codec_crf:
            image = Image.fromarray(video_still(np.asarray(image), self.codec_crf))
        return compress(image, self.suffix, self.quality, self.subsampling)


def shrink(image: Image.Image, scale: float, shrinker: Image.Resampling) -> Image.Image:
    """The picture at `scale` of its size; itself at 1."""
    if scale == 1:
        return image
    return image.resize((max(16, round(image.width * scale)), max(16, round(image.height * scale))), shrinker)


def compress(image: Image.Image, suffix: str, quality: int, subsampling: int) -> bytes:
    """Encodes as the suffix says; PNG ignores the quality."""
    out = io.BytesIO()
    match suffix:
        case ".jpg":
            image.save(out, "JPEG", quality=quality, subsampling=subsampling)
        case ".webp":
            image.save(out, "WEBP", quality=quality, method=2)
        case _:
            image.save(out, "PNG", compress_level=3)
    return out.getvalue()


def recompress(picture: Picture, quality: int, subsampling: int = 2) -> Picture:
    """The picture after a trip through JPEG."""
    data = compress(Image.fromarray(picture), ".jpg", quality, subsampling)
    return np.asarray(Image.open(io.BytesIO(data)))


def video_still(picture: Picture, crf: int) -> Picture:
    """The picture as a frame of an H.264 video, cut to whole macroblocks."""
    height, width = (side // MACROBLOCK * MACROBLOCK for side in picture.shape[:2])
    data = encode_clip([picture[:height, :width]], 25, "libx264", x264_options(crf))
    with av.open(io.BytesIO(data), "r") as container:
        frame = next(container.decode(video=0))
        still: Picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        return still


def x264_options(crf: float) -> dict[str, str]:
    """For `encode_clip`, with constant rate factor `crf`, 0 to 51."""
    return {"crf": f"{crf:g}", "preset": "veryfast"}


def encode_clip(frames: Sequence[Picture], rate: int, codec: str, options: dict[str, str]) -> bytes:
    """MP4 bytes of uint8 RGB frames with whole macroblocks, `rate` frames per second."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = cast("av.VideoStream", container.add_stream(codec, rate=rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        stream.codec_context.thread_count = 1
        stream.options = {**options}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()
