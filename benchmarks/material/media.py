"""Media to put a load on a detector: generated, the same every time, or files of a folder.

Generated pictures have the 1/f spectrum of photographs and sound has harmonics and syllables, so
that codecs work as hard on them as on real media. What they show means nothing to a detector.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from clients.batch import PICTURES, SOUNDS, VIDEOS

Picture = NDArray[np.uint8]
Media = dict[str, list[bytes]]
"""Encoded files by what they are: image, video, audio."""

SHARES = {"image": 8, "video": 1, "audio": 2}
"""How often a mixed load sends each kind."""

PHOTO_SIZES = [(1280, 960), (960, 1280), (1536, 1024), (1440, 1080)]
VIDEO_SIZE = (640, 360)
VIDEO_SECONDS = 4
FRAME_RATE = 25
SOUND_SECONDS = 6
SOUND_RATE = 44_100
SOUND_FORMATS = (("wav", "pcm_s16le"), ("mp3", "libmp3lame"))
REPEATABLE = {"fflags": "bitexact"}
"""Of muxers, which otherwise put random identifiers into Matroska and Ogg."""


def generated_media(count: int = 8) -> Media:
    """`count` JPEG photos of 1.2 to 1.6 megapixels, a quarter as many short MP4 with sound, and half
    as many MP3 and WAV; at least one of each."""
    videos = [video_mp4(n) for n in range(max(1, count // 4))]
    sounds = [
        sound_file(*SOUND_FORMATS[n % 2], speech(SOUND_SECONDS, n), SOUND_RATE)
        for n in range(max(1, count // 2))
    ]
    return {"image": generated_photos(count), "video": videos, "audio": sounds}


def generated_photos(count: int) -> list[bytes]:
    """JPEG photos of 1.2 to 1.6 megapixels."""
    return [photo_jpeg(*PHOTO_SIZES[n % len(PHOTO_SIZES)], n) for n in range(count)]


def media_in(folder: Path) -> Media:
    """The media files of a folder and those below it. Raises ValueError if there are none."""
    media = {
        kind: [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes]
        for kind, suffixes in (("image", PICTURES), ("video", VIDEOS), ("audio", SOUNDS))
    }
    if not any(media.values()):
        raise ValueError(f"no media in {folder}")
    return media


def photo(width: int, height: int, seed: int) -> Picture:
    """uint8 RGB [height, width, 3]."""
    random = np.random.default_rng(seed)
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None, :] * width
    falloff = np.maximum(np.hypot(rows, columns), 1) ** -1.2
    planes = []
    for contrast in (45.0, 12.0, 12.0):
        phases = np.exp(2j * np.pi * random.random(falloff.shape))
        plane = np.fft.irfft2(falloff * phases, s=(height, width))
        planes.append(contrast * plane / plane.std())
    light, blue, red = planes
    rgb = np.stack([light + 1.4 * red, light - 0.35 * blue - 0.7 * red, light + 1.8 * blue], -1)
    return np.asarray(np.clip(np.rint(rgb + 120), 0, 255), np.uint8)


def photo_rows(height: int, width: int, count: int) -> Picture:
    """Different ones, uint8 RGB [count, height, width, 3]."""
    return np.stack([photo(width, height, seed) for seed in range(count)])


@cache  # making one takes a second
def photo_jpeg(width: int, height: int, seed: int) -> bytes:
    """A JPEG file of common quality, of the `photo` of that seed."""
    frame = av.VideoFrame.from_ndarray(photo(width, height, seed), format="rgb24")
    return still_file("mjpeg", frame.reformat(format="yuvj420p"), qmin="3", qmax="3")


def still_file(encoder: str, frame: av.VideoFrame, **options: str) -> bytes:
    """A picture as a file, in the frame's own size and pixel format."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base, context.options = Fraction(1, 1), options
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@cache
def video_mp4(seed: int) -> bytes:
    """H.264 and AAC: a camera pan over one photo, with speech-like sound."""
    width, height = VIDEO_SIZE
    frames = VIDEO_SECONDS * FRAME_RATE
    scene = photo(width + 2 * frames, height, seed)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        pictures = output.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast"})
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        sound = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for number in range(frames):
            pixels = np.ascontiguousarray(scene[:, 2 * number : 2 * number + width])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        output.mux(encoded_sound(sound, speech(VIDEO_SECONDS, seed)))
    return buffer.getvalue()


def sound_file(container: str, encoder: str, samples: NDArray[np.float32], rate: int) -> bytes:
    """The samples as a file, taken to be at that rate."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=REPEATABLE) as output:
        stream: Any = output.add_stream(encoder, rate=rate, layout="mono")
        output.mux(encoded_sound(stream, samples))
    return buffer.getvalue()


def speech(seconds: float, seed: int, rate: int = SOUND_RATE) -> NDArray[np.float32]:
    """Gliding harmonics under syllables: float32 [samples] in [-1, 1]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = random.uniform(90, 220) + 15 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(order * phase) / order for order in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0.05, 1)
    noise = 0.005 * random.standard_normal(time.size)
    return np.clip(0.25 * voice * syllables + noise, -1, 1).astype(np.float32)


def encoded_sound(stream: av.AudioStream, samples: NDArray[np.float32]) -> "Sequence[av.Packet[Any]]":
    """All packets of a stream of this sound, taken to be at the stream's rate."""
    codec = stream.codec_context
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = codec.sample_rate
    resampler = av.AudioResampler(codec.format, codec.layout, codec.sample_rate, codec.frame_size or None)
    packets: list[av.Packet[Any]] = []
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        packets.extend(stream.encode(part))
    return [*packets, *stream.encode(None)]
