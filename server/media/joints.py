"""One clock for recordings that were written one behind the other, where each started its own."""

from dataclasses import dataclass, field
from typing import Any

import av

JOINED = frozenset(("mpegts", "mpeg", "ogg"))
"""FFmpeg's names of the containers that may simply follow one another in a file, as on discs."""

# Behind or ahead of where its stream was: further than packets are out of order, or a recorder pauses.
_BACK_SECONDS, _AHEAD_SECONDS = 0.5, 10.0
# A stream without others, that would go on, may have paused for longer.
_ALONE_SECONDS = 60.0
# Pictures out of order at a time.
_MOST_FAR = 16
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
        doubt: where the track and the clock would be had the last packet not leapt.
        far: packets shown so late that it may be the time of a picture behind a joint.
    """

    shift: float
    expected: float
    delay: int = 0
    doubt: tuple[float, float, float, float] | None = None
    far: "list[av.Packet[Any]]" = field(default_factory=list)


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
        self._forget_leap(track, time)
        shown = _shown(packet, packet.dts, track, base) * base
        before = (track.shift, track.expected + length, self._shift, self._end)
        leaps = abs(time + track.shift - track.expected) > _GAP_SECONDS
        track.shift = self._shift_of(track, time, shown)
        track.doubt = before if leaps else None
        if track.shift != before[0]:
            _revise(track, before[1], base)
        track.expected = time + track.shift + length
        self._end = max(self._end, shown + track.shift + length)
        ticks = round(track.shift / base)
        packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks

    def _forget_leap(self, track: _Track, time: float) -> None:
        # One damaged time: the next goes on where the one before it was.
        if track.doubt and abs(time + track.shift - track.expected) > _GAP_SECONDS:
            shift, expected, _, _ = track.doubt
            if abs(time + shift - expected) <= _BACK_SECONDS:
                track.shift, track.expected, self._shift, self._end = track.doubt

    def _shift_of(self, track: _Track, time: float, shown: float) -> float:
        ahead = time + track.shift - track.expected
        if abs(ahead) <= _GAP_SECONDS and track.shift == self._shift:
            return track.shift
        in_step = self._in_step(track, time + track.shift)
        # Where another stream has crossed a joint before, this one goes with it, even if itself would take
        # the joint for a pause, or by chance for nothing.
        follows = (
            track.shift != self._shift
            and time + self._shift >= track.expected - _APART_SECONDS
            and self._in_step(track, time + self._shift)
        )
        if follows and (abs(ahead) > _GAP_SECONDS or not in_step):
            return self._shift
        if -_BACK_SECONDS <= ahead <= (_AHEAD_SECONDS if len(self._tracks) > 1 else _ALONE_SECONDS):
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
    if delay * base < -_BACK_SECONDS:
        # FFmpeg guesses it from the picture that follows, which is behind a joint.
        packet.pts = decoded + track.delay
    elif delay * base > _AHEAD_SECONDS:
        # A guess too, or the way of a file with few pictures: the next ones tell.
        track.far = [*track.far[1 - _MOST_FAR :], packet]
        return decoded + track.delay
    elif delay > 0:
        track.delay = delay
    return packet.pts


def _revise(track: _Track, end: float, base: float) -> None:
    """At a joint: pictures that would be shown behind the end of their part were guessed."""
    for packet in track.far:
        if packet.dts is not None and packet.pts is not None and packet.pts * base > end:
            packet.pts = packet.dts + track.delay
    track.far.clear()
