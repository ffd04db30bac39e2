"""A small whole file of every format that can be written here, to be mutated."""

import io
from typing import Any

import av
import numpy as np

from benchmarks.material.media import REPEATABLE, encoded_sound, photo, sound_file, speech, still_file

# Encoder and pixel format of a picture that is a file by itself.
_STILLS = {
    "jpeg": ("mjpeg", "yuvj420p"),
    "png": ("png", "rgba"),
    "png-palette": ("png", "pal8"),
    "png-16-bit": ("png", "rgb48be"),
    "bmp": ("bmp", "bgr24"),
    "tiff": ("tiff", "rgb24"),
    "webp": ("libwebp", "yuv420p"),
}
# Container, encoder of the pictures, encoder of the sound.
_VIDEOS = {
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "mpeg4", "pcm_s16le"),
    "mkv": ("matroska", "libx265", "libopus"),
    "webm": ("webm", "libvpx-vp9", "libopus"),
    "avi": ("avi", "mpeg4", "libmp3lame"),
    "mpeg": ("mpeg", "mpeg2video", "mp2"),
    "mpegts": ("mpegts", "libx264", "aac"),
    "flv": ("flv", "flv", None),
    "gif": ("gif", "gif", None),
}
_SOUNDS = {
    "wav": ("wav", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "flac": ("flac", "flac"),
    "opus": ("ogg", "libopus"),
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "aiff": ("aiff", "pcm_s16be"),
    "au": ("au", "pcm_mulaw"),
}
_PIXEL_FORMATS = {"gif": "rgb8"}
_QUIET = {"libx265": {"x265-params": "log-level=none"}}
_SIZE = (160, 120)
_FRAMES = 12
_SOUND_SECONDS = 1.0
_SOUND_RATE = 48_000


def seeds() -> dict[str, bytes]:
    """Whole files by format, always the same; formats whose encoder this build of PyAV lacks are left out."""
    made = {name: _still(*how) for name, how in _STILLS.items() if _available(how[0])}
    for name, (container, video, audio) in _VIDEOS.items():
        if _available(video) and (audio is None or _available(audio)):
            made[name] = _video(container, video, audio)
    for name, (container, audio) in _SOUNDS.items():
        if _available(audio):
            made[name] = sound_file(container, audio, speech(_SOUND_SECONDS, 1), _SOUND_RATE)
    return made


def _available(encoder: str) -> bool:
    try:
        av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _still(encoder: str, pixel_format: str) -> bytes:
    frame = av.VideoFrame.from_ndarray(photo(*_SIZE, seed=1), format="rgb24")
    if pixel_format != "pal8":
        return still_file(encoder, frame.reformat(format=pixel_format))
    indices: Any = frame.reformat(format="rgb8").to_ndarray()
    palette = np.arange(1024, dtype=np.uint8).reshape(256, 4)
    coloured = av.VideoFrame.from_ndarray((indices, palette), format="pal8")  # type: ignore[arg-type]
    return still_file(encoder, coloured)


def _video(container: str, video: str, audio: str | None) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=REPEATABLE) as output:
        pictures: Any = output.add_stream(video, rate=25, options=_QUIET.get(video))
        pictures.width, pictures.height = _SIZE
        pictures.pix_fmt = _PIXEL_FORMATS.get(video, "yuv420p")
        sound: Any = output.add_stream(audio, rate=_SOUND_RATE, layout="mono") if audio else None
        for number in range(_FRAMES):
            frame = av.VideoFrame.from_ndarray(photo(*_SIZE, seed=number), format="rgb24")
            output.mux(pictures.encode(frame.reformat(format=pictures.pix_fmt)))
        output.mux(pictures.encode(None))
        if sound is not None:
            output.mux(encoded_sound(sound, speech(_SOUND_SECONDS, 1)))
    return buffer.getvalue()
