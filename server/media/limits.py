"""How much of an untrusted file we are willing to read, decode and hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Caps on one medium; crossing one raises `MediaLimitExceeded` or `DecodeTimeout`.

    Attributes:
        max_bytes: encoded bytes.
        max_pixels: pixels of one picture or video frame.
        max_duration_seconds: seconds of a video or sound.
        max_streams: streams in a container.
        max_packets: packets read from a container.
        decode_timeout_seconds: wall clock for one medium.
        max_memory_bytes: memory of one decode process above what it needs when idle.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 100_000_000
    max_duration_seconds: float = 4 * 3600.0
    max_streams: int = 32
    max_packets: int = 2_000_000
    decode_timeout_seconds: float = 30.0
    max_memory_bytes: int = 2 * 2**30
