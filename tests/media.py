"""Small media files made on the spot, for any test that needs one.

Everything is deterministic in its arguments. Pictures have the 1/f spectrum of photographs, and
sound the harmonics and syllables of speech, so that codecs behave as they do on real media.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENCRYPTED = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "00112233445566778899aabbccddeeff",
}
"""For the muxer of MP4."""

Picture = NDArray[np.uint8]
Sound = NDArray[np.float32]


def photo(width: int = 640, height: int = 480, seed: int = 0) -> Picture:
    """A photo-like picture: uint8 RGB [height, width, 3]."""
    random = np.random.default_rng(seed)
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None, :] * width
    falloff = np.maximum(np.hypot(rows, columns), 1) ** -1.2
    channels = []
    for contrast in (45.0, 12.0, 12.0):
        phases = np.exp(2j * np.pi * random.random(falloff.shape))
        field = np.fft.irfft2(falloff * phases, s=(height, width))
        channels.append(contrast * field / max(float(field.std()), 1e-9))
    luminance, blue, red = channels
    y, x = np.mgrid[0:height, 0:width]
    head = np.hypot((x - width / 2) / (0.22 * width), (y - height / 2) / (0.36 * height)) < 1
    luminance = 110 + luminance + 40 * head
    rgb = np.stack([luminance + 1.4 * red, luminance - 0.35 * blue - 0.7 * red, luminance + 1.8 * blue], -1)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)


def photo_jpeg(width: int = 640, height: int = 480, seed: int = 0, **options: object) -> bytes:
    """A JPEG photo; `options` go to Pillow's JPEG writer."""
    return encode_picture(photo(width, height, seed), "JPEG", **{"quality": 90, **options})


def encode_picture(picture: Picture | Image.Image, file_format: str, **options: object) -> bytes:
    """One picture as a file of one of Pillow's formats."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, by name and content, and its end."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def moving_pictures(count: int, width: int = 320, height: int = 240, seed: int = 0) -> list[Picture]:
    """A camera pan over one photo, two pixels a frame; no two frames alike."""
    scene = photo(width + 2 * count, height, seed)
    return [scene[:, 2 * step : 2 * step + width].copy() for step in range(count)]


def speech(seconds: float, sample_rate: int = 16_000, seed: int = 0) -> Sound:
    """Speech-like mono sound in [-1, 1]: gliding harmonics under syllables, and some noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * time + random.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = sum(np.sin(order * phase) / order for order in range(1, 20) if order * 150 < sample_rate / 2)
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0.05, 1)
    sound = 0.25 * voice * syllables + 0.005 * random.standard_normal(time.size)
    return np.clip(sound, -1, 1).astype(np.float32)


def voice(seconds: float, sample_rate: int = 16_000, seed: int = 0) -> Sound:
    """Speech-like mono sound without long pauses; pitch and syllables are the seed's own."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    syllables = np.arange(0, seconds + 1, 0.12)
    pitch = np.interp(time, syllables, random.uniform(90, 240, len(syllables)))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    sound = np.zeros(len(time))
    for order in range(1, 16):
        # Vowels: each syllable has its own balance of harmonics.
        levels = random.uniform(-35, 0, len(syllables)) - 2 * order
        sound += 10 ** (np.interp(time, syllables, levels) / 20) * np.sin(order * phase)
    return np.asarray(0.3 * sound / np.abs(sound).max(), np.float32)


def tone(seconds: float = 2.0, sample_rate: int = 44_100, frequency: float = 440.0) -> Sound:
    """A sine of amplitude 0.5."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def pitch(sound: Sound, sample_rate: int = 16_000) -> float:
    """The loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(spectrum.argmax() * sample_rate / len(sound))


def tone_wav(seconds: float, sample_rate: int = 44_100) -> bytes:
    """A sine as 16-bit WAV."""
    return encode_sound(tone(seconds, sample_rate), "wav", "pcm_s16le", sample_rate)


def speech_wav(seconds: float = 3.0, seed: int = 0) -> bytes:
    return encode_sound(speech(seconds, 16_000, seed), "wav", "pcm_s16le", 16_000)


def speech_mp3(seconds: float = 3.0) -> bytes:
    return encode_sound(speech(seconds, 44_100), "mp3", "libmp3lame", 44_100, bit_rate=128_000)


def encode_sound(
    sound: Sound,
    container: str,
    codec: str,
    sample_rate: int,
    bit_rate: int = 0,
    muxing: dict[str, str] | None = None,
) -> bytes:
    """Mono [samples] or planar [channels, samples] sound as a file; `muxing` is of FFmpeg's muxer."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=muxing or {}) as output:
        _SoundTrack(output, codec, sample_rate, np.atleast_2d(sound), bit_rate).write()
    return buffer.getvalue()


def video_mp4(
    seconds: float = 2.0,
    fps: int = 25,
    width: int = 320,
    height: int = 240,
    sound: bool = True,
    seed: int = 0,
) -> bytes:
    """H.264 in MP4, with an AAC track of speech-like sound."""
    pictures = moving_pictures(round(seconds * fps), width, height, seed)
    track = speech(seconds, 44_100, seed) if sound else None
    return encode_video(pictures, fps=fps, sound=track, sound_rate=44_100)


def encode_video(
    pictures: Sequence[Picture],
    container: str = "mp4",
    codec: str = "libx264",
    fps: int = 25,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    times: Sequence[float] | None = None,
    gop: int = 12,
    rotation: int = 0,
    sound: Sound | None = None,
    sound_codec: str = "aac",
    sound_rate: int = 44_100,
    muxing: dict[str, str] | None = None,
) -> bytes:
    """Pictures (and a sound track) as a video file.

    Args:
        options, muxing: of FFmpeg's encoder of the pictures, and of its muxer.
        times: seconds of every picture, for a variable frame rate.
        gop: largest distance between keyframes.
        rotation: display matrix, degrees counter-clockwise in steps of 90.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=muxing or {}) as output:
        stream = output.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.gop_size = gop
        if times is not None:
            context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        track = None
        if sound is not None:
            track = _SoundTrack(output, sound_codec, sound_rate, np.atleast_2d(sound))
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[index]), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track is not None:
            track.write()
    return buffer.getvalue()


def damage_packets(data: bytes, kind: str, start: int = 0, stop: int | None = None) -> bytes:
    """The file with the content of packets start..stop of its "video" or "audio" overwritten."""
    out = bytearray(data)
    with av.open(io.BytesIO(data), "r") as container:
        packets = [packet for packet in container.demux(**{kind: 0}) if packet.size]
    for packet in packets[start:stop]:
        place = data.find(bytes(packet))
        out[place : place + packet.size] = b"\xff" * packet.size
    return bytes(out)


class _SoundTrack:
    """A sound stream of an output file; must be made before the first packet is written."""

    def __init__(
        self,
        output: av.container.OutputContainer,
        codec: str,
        sample_rate: int,
        sound: Sound,
        bit_rate: int = 0,
    ) -> None:
        self._output, self._sound, self._rate = output, np.ascontiguousarray(sound), sample_rate
        layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(len(sound), f"{len(sound)}C")
        stream = output.add_stream(codec, rate=sample_rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        if bit_rate:
            self._stream.bit_rate = bit_rate

    def write(self) -> None:
        step = self._rate
        for start in range(0, self._sound.shape[1], step):
            samples = self._sound[:, start : start + step]
            # Packed, as PyAV cannot fill eight planes or more.
            frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), "flt", self._stream.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, start, Fraction(1, self._rate)
            self._output.mux(self._stream.encode(frame))
        self._output.mux(self._stream.encode(None))
