"""How much of an untrusted file we are willing to read, decode and hold."""

import time
from dataclasses import dataclass

from server.errors import DecodeTimeout, MediaLimitExceeded

LARGEST_PIXELS = 2**31 - 1
"""The largest cap that FFmpeg takes; with more it would refuse every picture."""

# Of the memory of a decode process, for decoders of one video beside the first.
_SPARE_MEMORY = 0.25
# Each has a stack, and at most sixteen reference frames of 4:2:0 with ten bits.
_STACK_BYTES = 8 * 2**20
_BYTES_PER_PIXEL = 16 * 3


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
        max_threads: threads that decode one video.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 100_000_000
    max_duration_seconds: float = 4 * 3600.0
    max_streams: int = 32
    max_packets: int = 2_000_000
    decode_timeout_seconds: float = 30.0
    max_memory_bytes: int = 2 * 2**30
    max_threads: int = 1


class Budget:
    """What one medium has spent of its limits; made when its decoding starts."""

    def __init__(self, limits: MediaLimits) -> None:
        self.limits = limits
        self._deadline = time.monotonic() + limits.decode_timeout_seconds
        self._packets = 0

    def remaining_seconds(self) -> float:
        """Raises DecodeTimeout when nothing is left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DecodeTimeout(f"decoding took longer than {self.limits.decode_timeout_seconds:g} s")
        return left

    def decode_threads(self, width: int, height: int) -> int:
        """Threads that may decode a video of this size, each with a decoder of its own."""
        decoder_bytes = _STACK_BYTES + width * height * _BYTES_PER_PIXEL
        spare = int(self.limits.max_memory_bytes * _SPARE_MEMORY) // decoder_bytes
        return min(self.limits.max_threads, 1 + spare)

    def take_packet(self) -> None:
        """Raises DecodeTimeout, or MediaLimitExceeded for a container of too many packets."""
        self.remaining_seconds()
        self._packets += 1
        if self._packets > self.limits.max_packets:
            raise MediaLimitExceeded(f"the file has more than {self.limits.max_packets} packets")

    def check_bytes(self, size: int) -> None:
        """Raises MediaLimitExceeded."""
        if size > self.limits.max_bytes:
            raise MediaLimitExceeded(f"{size} bytes are more than the {self.limits.max_bytes} allowed")

    def check_pixels(self, width: int, height: int) -> None:
        """Of one picture. Raises MediaLimitExceeded."""
        if width * height > self.limits.max_pixels:
            raise MediaLimitExceeded(
                f"{width} x {height} pixels are more than the {self.limits.max_pixels} allowed"
            )

    def check_duration(self, seconds: float) -> None:
        """Raises MediaLimitExceeded."""
        if seconds > self.limits.max_duration_seconds:
            raise MediaLimitExceeded(
                f"{seconds:g} s are more than the {self.limits.max_duration_seconds:g} s allowed"
            )
