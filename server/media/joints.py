"""One clock for recordings that were written one behind the other, where each started its own."""

from dataclasses import dataclass
from typing import Any

import av

JOINED = frozenset(("mpegts", "mpeg", "ogg"))
"""FFmpeg's names of the containers that may simply follow one another in a file, as on discs."""

# Behind or ahead of where its stream was: further than packets are out of order, or a recorder pauses.
_BACK_SECONDS, _AHEAD_SECONDS = 0.5, 10.0
# More than rounding.
_GAP_SECONDS = 0.1
# Further than sound and pictures of one moment lie apart in a file.
_APART_SECONDS = 5.0


@dataclass(slots=True)
class _Track:
    """One stream so far.

    Attributes:
        shift: seconds by which its times are moved.
        expected: seconds, moved, at which its next packet is to be decoded.
        delay: ticks from decoding to showing its last picture that was not shown at once.
    """

    shift: float
    expected: float
    delay: int = 0


class JoinedClock:
    """Gives the packets of one file times that go on where they would start again, or leap."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._shift = 0.0
        self._end = float("-inf")

    def mend(self, packet: "av.Packet[Any]") -> None:
        """Changes the times of the next packet in the order of the file."""
        base = float(packet.time_base or 0)
        length = (packet.duration or 0) * base
        track = self._tracks.get(packet.stream.index)
        if packet.dts is None or not base:
            # Of several pictures in one packet of a program stream only the first has times.
            if track:
                track.expected += length
                self._end = max(self._end, track.expected)
            return
        time = packet.dts * base
        if track is None:
            track = self._tracks[packet.stream.index] = _Track(self._shift, time + self._shift)
        shown = _shown(packet, packet.dts, track, base) * base
        track.shift = self._shift_of(track, time, shown)
        track.expected = time + track.shift + length
        self._end = max(self._end, shown + track.shift + length)
        ticks = round(track.shift / base)
        packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks

    def _shift_of(self, track: _Track, time: float, shown: float) -> float:
        ahead = time + track.shift - track.expected
        if abs(ahead) <= _GAP_SECONDS and track.shift == self._shift:
            return track.shift
        in_step = self._in_step(track, time + track.shift)
        # Where another stream has crossed a joint before, this one goes with it, even if itself would take
        # the joint for a pause, or by chance for nothing.
        follows = track.shift != self._shift and self._in_step(track, time + self._shift)
        if follows and (abs(ahead) > _GAP_SECONDS or not in_step):
            return self._shift
        if -_BACK_SECONDS <= ahead <= _AHEAD_SECONDS:
            return track.shift
        if ahead > 0 and in_step:
            # It was silent, and is again where the others are.
            return track.shift
        # Behind the longest stream: others that are shorter must not begin anew before it ends.
        self._shift = self._end - shown
        return self._shift

    def _in_step(self, track: _Track, time: float) -> bool:
        others = [other for other in self._tracks.values() if other is not track]
        return any(abs(time - other.expected) <= _APART_SECONDS for other in others)


def _shown(packet: "av.Packet[Any]", decoded: int, track: _Track, base: float) -> int:
    """When the packet is shown, in ticks; a time that cannot be is replaced."""
    if packet.pts is None:
        return decoded
    delay = packet.pts - decoded
    if not -_BACK_SECONDS <= delay * base <= _AHEAD_SECONDS:
        # FFmpeg guesses it from the picture that follows, which is behind a joint.
        packet.pts = decoded + track.delay
    elif delay > 0:
        track.delay = delay
    return packet.pts
