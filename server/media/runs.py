"""Decoding runs of a video's packets: the wanted frames of each, and as little else as possible."""

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from server.media.container import Packet
from server.media.limits import Budget
from server.media.orientation import Orientation, frame_orientation
from server.media.pixels import RGB, PixelConverter, check_colours

# Where FFmpeg knows which frames no other refers to, and leaves them out without harm; it
# breaks AVI with packed B-frames and drops frames of AV1.
_SKIPPABLE = frozenset(("h264", "hevc"))


@dataclass(frozen=True, slots=True)
class Run:
    """Packets first..last, in the order of the file, that yield the wanted frames.

    Attributes:
        wanted: timestamp to number of each wanted frame.
    """

    first: int
    last: int
    wanted: dict[int, int]


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """When the packets of a stream are shown.

    Attributes:
        packets: in the order of the file.
        stamps: int64 [packets], ticks of the stream's clock.
        ordered: whether decoded frames carry these stamps too; else only their order tells which is which.
        tolerance: ticks within which a neighbour stands in for a frame that cannot be decoded.
    """

    packets: list[Packet]
    stamps: NDArray[np.int64]
    ordered: bool
    tolerance: float


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame's pixels at the wanted size, and how it was stored.

    Attributes:
        size: stored width and height.
        transfer: AVColorTransferCharacteristic.
    """

    rgb: RGB
    orientation: Orientation
    size: tuple[int, int]
    transfer: int


class RunDecoder:
    """Decodes runs one after the other, in one thread.

    Attributes:
        failure: the last error of a packet.
    """

    def __init__(
        self, decoder: av.VideoCodecContext, times: PacketTimes, size: tuple[int, int], budget: Budget
    ) -> None:
        self._decoder, self._times, self._budget = decoder, times, budget
        self._converter, self._width, self._height = PixelConverter(), *size
        self.failure: av.FFmpegError | None = None

    def read(self, runs: list[Run]) -> dict[int, DecodedFrame]:
        """Frames by number. One that cannot be decoded is replaced by a near neighbour, or missing."""
        frames: dict[int, DecodedFrame] = {}
        for run in runs:
            if self._times.ordered and self._decoder.name in _SKIPPABLE:
                frames |= self._exact(run)
            if any(number not in frames for number in run.wanted.values()):
                frames |= self._nearest(run)
        return frames

    def _exact(self, run: Run) -> dict[int, DecodedFrame]:
        """The wanted frames, leaving out whatever none of them refers to."""
        return {
            run.wanted[frame.pts]: self._convert(frame)
            for frame in self._decode(run, skip=True)
            if frame.pts in run.wanted
        }

    def _nearest(self, run: Run) -> dict[int, DecodedFrame]:
        """For each wanted frame the decoded one that is nearest in time."""
        in_order = np.sort(self._times.stamps[run.first : run.last + 1])
        best: dict[int, tuple[float, av.VideoFrame]] = {}
        for rank, frame in enumerate(self._decode(run, skip=False)):
            stamp = frame.pts if self._times.ordered else in_order[min(rank, len(in_order) - 1)]
            for wanted, number in run.wanted.items():
                distance = float("inf") if stamp is None else abs(float(stamp) - wanted)
                if distance <= min(self._times.tolerance, best.get(number, (float("inf"),))[0]):
                    best[number] = (distance, frame)
        return {number: self._convert(frame) for number, (_, frame) in best.items()}

    def _decode(self, run: Run, skip: bool) -> Iterator[av.VideoFrame]:
        self._decoder.flush_buffers()
        for index in range(run.first, run.last + 1):
            self._budget.remaining_seconds()
            needed = not skip or int(self._times.stamps[index]) in run.wanted
            self._decoder.skip_frame = "DEFAULT" if needed else "NONREF"
            yield from self._decode_packet(self._times.packets[index])
        self._decoder.skip_frame = "DEFAULT"
        yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet | None) -> list[av.VideoFrame]:
        try:
            return self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # One damaged packet; the frames that depend on it will be missing or near enough.
            self.failure = error
            return []

    def _convert(self, frame: av.VideoFrame) -> DecodedFrame:
        check_colours(frame)
        orientation = frame_orientation(frame)
        rgb = self._converter.scaled(frame, self._width, self._height, orientation)
        return DecodedFrame(rgb, orientation, (frame.width, frame.height), frame.color_trc)
