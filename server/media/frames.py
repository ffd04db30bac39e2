"""The frames of a video by number, decoded from no more packets than those that are wanted need."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
from numpy.typing import NDArray

from server.errors import CorruptMedia
from server.media.container import Demuxed, Packet
from server.media.limits import Budget
from server.media.orientation import UPRIGHT
from server.media.pixels import RGB
from server.media.runs import DecodedFrame, PacketTimes, Run, RunDecoder
from server.media.sampling import Times

# Frames that may leave a decoder before one that entered it earlier.
_MAX_REORDER = 16
_DEFAULT_FRAME_SECONDS = 0.04
# A neighbour this close stands in for a frame that cannot be decoded.
_NEAR_SECONDS = 0.5


class FrameReader:
    """The frames of a video stream, numbered in display order, read on demand.

    Attributes:
        starts: float64 [N], seconds on the stream's clock at which each frame appears, ascending.
        origin, end: seconds at which the first frame appears, and the last disappears.
        orientation, size, transfer: of the frames, known after `read`.
    """

    def __init__(
        self, stream: av.VideoStream, demuxed: Demuxed, size: tuple[int, int], budget: Budget
    ) -> None:
        packets = demuxed.video_packets
        base = float(stream.time_base or 1)
        stated = [packet.pts if packet.pts is not None else packet.dts for packet in packets]
        stamps = _timestamps(stated, packets, base)
        # A container without presentation times gives frames the times at which they are decoded,
        # unless FFmpeg's parser knows better, and then they are not ascending.
        guessed = demuxed.decode_times_only and bool((np.diff(stamps) > 0).all())
        self._times = PacketTimes(packets, stamps, not guessed and None not in stated, _NEAR_SECONDS / base)
        self._decoder = RunDecoder(stream.codec_context, self._times, size, budget)
        self._spare_decoder, self._scaled_size, self._budget = demuxed.spare_decoder, size, budget
        shown = np.asarray([not packet.is_discard for packet in packets])
        self._display = np.unique(stamps[shown])
        self._packet_of = {int(stamps[index]): int(index) for index in np.flatnonzero(shown)}
        self.starts: Times = self._display * base
        self.origin = float(self.starts[0])
        self.end = float(self.starts[-1]) + _last_duration(packets[-1], self.starts, base)
        self.orientation, self.size, self.transfer = UPRIGHT, (stream.width, stream.height), 0

    @property
    def seconds(self) -> float:
        """How long all frames are shown."""
        return self.end - self.origin

    def read(self, numbers: Iterable[int]) -> dict[int, RGB]:
        """Frames by number. One that cannot be decoded is replaced by a near neighbour, or missing.

        Raises:
            CorruptMedia: none of those that were asked for can be decoded.
        """
        runs = self._runs([int(number) for number in numbers])
        frames = self._decode(runs)
        if frames:
            last = frames[max(frames)]
            self.orientation, self.size, self.transfer = last.orientation, last.size, last.transfer
        elif runs:
            raise CorruptMedia("no frame of the video can be decoded") from self._decoder.failure
        return {number: frame.rgb for number, frame in frames.items()}

    def _decode(self, runs: list[Run]) -> dict[int, DecodedFrame]:
        open_decoder = self._spare_decoder
        threads = min(len(runs), self._budget.decode_threads(*self.size))
        if open_decoder is None or threads < 2:
            return self._decoder.read(runs)

        def decode_beside(runs: list[Run]) -> dict[int, DecodedFrame]:
            with open_decoder() as decoder:
                return RunDecoder(decoder, self._times, self._scaled_size, self._budget).read(runs)

        own, *others = [runs[place::threads] for place in range(threads)]
        with ThreadPoolExecutor(len(others)) as pool:
            decoded_beside = pool.map(decode_beside, others)
            frames = self._decoder.read(own)
            for more in decoded_beside:
                frames |= more
        return frames

    def _runs(self, numbers: list[int]) -> list[Run]:
        keys = np.flatnonzero([packet.is_keyframe for packet in self._times.packets])
        spans = sorted((*self._span(keys, number), number) for number in numbers)
        runs: list[Run] = []
        for first, last, number in spans:
            stamp = int(self._display[number])
            if runs and first <= runs[-1].last:
                previous = runs.pop()
                wanted = previous.wanted | {stamp: number}
                runs.append(Run(previous.first, max(previous.last, last), wanted))
            else:
                runs.append(Run(first, last, {stamp: number}))
        return runs

    def _span(self, keys: NDArray[np.int64], number: int) -> tuple[int, int]:
        stamp = self._display[number]
        packet = self._packet_of[int(stamp)]
        before = int(np.searchsorted(keys, packet, side="right"))
        if before > 1 and stamp < self._times.stamps[keys[before - 1]]:
            # A leading picture: shown before the keyframe it follows, it refers to the group before.
            before -= 1
        first = int(keys[before - 1]) if before else 0
        if self._times.ordered:
            return first, packet
        following = int(keys[before]) if before < len(keys) else len(self._times.packets)
        return first, max(packet, min(following - 1, packet + _MAX_REORDER))


def _timestamps(stated: list[int | None], packets: list[Packet], base: float) -> NDArray[np.int64]:
    """int64 [packets], ticks: as stated, or at a constant rate from the first on if some are missing."""
    known = [stamp for stamp in stated if stamp is not None]
    if len(known) == len(stated):
        return np.asarray(known, np.int64)
    lengths = [packet.duration for packet in packets if packet.duration]
    step = max(1, round(float(np.median(lengths)) if lengths else _DEFAULT_FRAME_SECONDS / base))
    return min(known, default=0) + np.arange(len(stated), dtype=np.int64) * step


def _last_duration(packet: Packet, starts: Times, base: float) -> float:
    if packet.duration:
        return packet.duration * base
    return float(np.median(np.diff(starts))) if len(starts) > 1 else _DEFAULT_FRAME_SECONDS
