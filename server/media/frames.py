"""Decoding chosen frames of a video, and as little else as possible."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from server.errors import CorruptMedia
from server.media.container import Packet
from server.media.limits import Budget
from server.media.orientation import UPRIGHT, frame_orientation
from server.media.pixels import RGB, PixelConverter
from server.media.sampling import Times

# Where FFmpeg knows which frames no other refers to, and leaves them out without harm; it
# breaks AVI with packed B-frames and drops frames of AV1.
_SKIPPABLE = frozenset(("h264", "hevc"))
# Frames that may leave a decoder before one that entered it earlier.
_MAX_REORDER = 16
_DEFAULT_FRAME_SECONDS = 0.04
# A neighbour this close stands in for a frame that cannot be decoded.
_NEAR_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Run:
    """Packets first..last, in the order of the file, that yield the wanted frames.

    Attributes:
        wanted: timestamp to number of each wanted frame.
    """

    first: int
    last: int
    wanted: dict[int, int]


class FrameReader:
    """The frames of a video stream, numbered in display order, read on demand.

    Attributes:
        starts: float64 [N], seconds on the stream's clock at which each frame appears, ascending.
        end: seconds at which the last frame disappears.
        orientation, size, transfer: of the frames, known after `read`.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        packets: list[Packet],
        decode_times_only: bool,
        size: tuple[int, int],
        budget: Budget,
    ) -> None:
        self._decoder, self._packets, self._budget = stream.codec_context, packets, budget
        self._converter, self._width, self._height = PixelConverter(), *size
        base = float(stream.time_base or 1)
        stamps = [packet.pts if packet.pts is not None else packet.dts for packet in packets]
        self._stamps = _known(stamps, packets, base)
        # A container without presentation times gives frames the times at which they are decoded,
        # unless FFmpeg's parser knows better, and then they are not ascending.
        guessed = decode_times_only and bool((np.diff(self._stamps) > 0).all())
        self._ordered = not guessed and None not in stamps
        shown = np.asarray([not packet.is_discard for packet in packets])
        self._display = np.unique(self._stamps[shown])
        self._tolerance = _NEAR_SECONDS / base
        self._failure: av.FFmpegError | None = None
        self._packet_of = {int(self._stamps[index]): int(index) for index in np.flatnonzero(shown)}
        self.starts: Times = self._display * base
        self.origin = float(self.starts[0])
        self.end = float(self.starts[-1]) + _last_duration(packets[-1], self.starts, base)
        self.orientation, self.size, self.transfer = UPRIGHT, (stream.width, stream.height), 0

    @property
    def seconds(self) -> float:
        return self.end - self.origin

    def read(self, numbers: Iterable[int]) -> dict[int, RGB]:
        """Frames by number. One that cannot be decoded is replaced by a near neighbour, or missing.

        Raises:
            CorruptMedia: none of those that were asked for can be decoded.
        """
        pictures: dict[int, RGB] = {}
        numbers = [int(number) for number in numbers]
        for run in self._runs(numbers):
            if self._ordered and self._decoder.name in _SKIPPABLE:
                pictures |= self._exact(run)
            if any(number not in pictures for number in run.wanted.values()):
                pictures |= self._nearest(run)
        if numbers and not pictures:
            raise CorruptMedia("no frame of the video can be decoded") from self._failure
        return pictures

    def _runs(self, numbers: list[int]) -> list[_Run]:
        keys = np.flatnonzero([packet.is_keyframe for packet in self._packets])
        spans = sorted((*self._span(keys, number), number) for number in numbers)
        runs: list[_Run] = []
        for first, last, number in spans:
            stamp = int(self._display[number])
            if runs and first <= runs[-1].last:
                previous = runs.pop()
                wanted = previous.wanted | {stamp: number}
                runs.append(_Run(previous.first, max(previous.last, last), wanted))
            else:
                runs.append(_Run(first, last, {stamp: number}))
        return runs

    def _span(self, keys: NDArray[np.int64], number: int) -> tuple[int, int]:
        stamp = self._display[number]
        packet = self._packet_of[int(stamp)]
        before = int(np.searchsorted(keys, packet, side="right"))
        if before > 1 and stamp < self._stamps[keys[before - 1]]:
            # A leading picture: shown before the keyframe it follows, it refers to the group before.
            before -= 1
        first = int(keys[before - 1]) if before else 0
        if self._ordered:
            return first, packet
        following = int(keys[before]) if before < len(keys) else len(self._packets)
        return first, max(packet, min(following - 1, packet + _MAX_REORDER))

    def _exact(self, run: _Run) -> dict[int, RGB]:
        """The wanted frames, leaving out whatever none of them refers to."""
        return {
            run.wanted[frame.pts]: self._convert(frame)
            for frame in self._decode(run, skip=True)
            if frame.pts in run.wanted
        }

    def _nearest(self, run: _Run) -> dict[int, RGB]:
        """For each wanted frame the decoded one that is nearest in time."""
        in_order = np.sort(self._stamps[run.first : run.last + 1])
        best: dict[int, tuple[float, av.VideoFrame]] = {}
        for rank, frame in enumerate(self._decode(run, skip=False)):
            stamp = frame.pts if self._ordered else in_order[min(rank, len(in_order) - 1)]
            for wanted, number in run.wanted.items():
                distance = float("inf") if stamp is None else abs(float(stamp) - wanted)
                if distance <= min(self._tolerance, best.get(number, (float("inf"),))[0]):
                    best[number] = (distance, frame)
        return {number: self._convert(frame) for number, (_, frame) in best.items()}

    def _decode(self, run: _Run, skip: bool) -> Iterator[av.VideoFrame]:
        self._decoder.flush_buffers()
        for index in range(run.first, run.last + 1):
            self._budget.remaining_seconds()
            needed = not skip or int(self._stamps[index]) in run.wanted
            self._decoder.skip_frame = "DEFAULT" if needed else "NONREF"
            yield from self._decode_packet(self._packets[index])
        self._decoder.skip_frame = "DEFAULT"
        yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet | None) -> list[av.VideoFrame]:
        try:
            return self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # One damaged packet; the frames that depend on it will be missing or near enough.
            self._failure = error
            return []

    def _convert(self, frame: av.VideoFrame) -> RGB:
        self.size, self.transfer = (frame.width, frame.height), frame.color_trc
        self.orientation = frame_orientation(frame)
        return self._converter.scaled(frame, self._width, self._height, self.orientation)


def _known(stamps: list[int | None], packets: list[Packet], base: float) -> NDArray[np.int64]:
    """Timestamps, or where they are missing the order of the packets at a constant rate."""
    if None not in stamps:
        return np.asarray(stamps, np.int64)
    lengths = [packet.duration for packet in packets if packet.duration]
    step = max(1, round(float(np.median(lengths)) if lengths else _DEFAULT_FRAME_SECONDS / base))
    return np.arange(len(stamps), dtype=np.int64) * step


def _last_duration(packet: Packet, starts: Times, base: float) -> float:
    if packet.duration:
        return packet.duration * base
    return float(np.median(np.diff(starts))) if len(starts) > 1 else _DEFAULT_FRAME_SECONDS
