"""Sound to rows: windows of mono PCM at the model's sample rate."""

from dataclasses import replace
from math import ceil, gcd

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.container import Packet, check_clear, check_codec, codec_name, tune_decoder
from server.media.limits import Budget
from server.media.mixing import Channels, Downmix, add_to
from server.media.probe import AUDIO_CODECS
from server.media.sampling import choose_windows
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec
from server.media.voices import Voices, spoken
from server.media.windows import rows_of_pieces, spans_of

_SAMPLE_RATES = range(4_000, 384_001)
_MAX_CHANNELS = 16
# Codecs need packets before the first that counts (overlapping blocks, bit reservoirs), and the
# resampler needs samples on both sides.
_CODEC_LEAD_SECONDS = 0.25
_RESAMPLER_LEAD_SECONDS = 0.1
# Windows that cover this much of a sound are cut from the whole of it.
_WORTH_DECODING_ALL = 0.75
# Less is how containers round their clocks.
_PAUSE_SECONDS = 0.1


def sound_rows(
    stream: av.AudioStream, packets: list[Packet], origin: float | None, spec: RowSpec, budget: Budget
) -> MediaRows:
    """Windows spread evenly over a sound; decodes only what they need of a long one.

    If the spec wants that, channels that hold voices of their own have windows each, side by side.

    Args:
        packets: all of the stream's, in the order of the file.
        origin: seconds on the stream's clock that count as 0; None for its own first sample.

    Raises:
        CorruptMedia: nothing of it can be decoded.
        UnsupportedMedia: its codec, sample rate or number of channels is not allowed.
        DecodeTimeout, MediaLimitExceeded
    """
    check_codec(stream, AUDIO_CODECS)
    check_clear(packets)
    if not packets:
        raise CorruptMedia("the sound track is empty")
    tune_decoder(stream.codec_context, budget)
    voices = Voices() if spec.by_channel else None
    [rows] = _rows(_Track(stream, packets, budget, voices), origin, spec)
    apart = voices.apart() if voices else ()
    if not apart:
        return rows
    # Decoded again, as ordinary sounds must not need the memory for all of their channels.
    return _side_by_side(rows.facts, apart, _rows(_Track(stream, packets, budget, apart=apart), origin, spec))


def _side_by_side(facts: MediaFacts, channels: tuple[int, ...], rows: list[MediaRows]) -> MediaRows:
    """The rows of several channels, by time."""
    times = np.concatenate([of_channel.audio_times for of_channel in rows])
    owners = np.repeat(channels, [len(of_channel.audio) for of_channel in rows]).astype(np.int64)
    order = np.argsort(times[:, 0], kind="stable")
    audio = np.concatenate([of_channel.audio for of_channel in rows])[order]
    return MediaRows(facts, audio=audio, audio_times=times[order], audio_channel=owners[order])


def _rows(track: "_Track", origin: float | None, spec: RowSpec) -> list[MediaRows]:
    """Of the mean of its channels, or of each of those that are apart."""
    window, rate = spec.window_samples, spec.sample_rate
    total = round(track.seconds * rate)
    starts = choose_windows(total, window, spec.windows, spec.phase)
    whole = len(starts) * window >= _WORTH_DECODING_ALL * total
    if whole:
        sounds = track.decode_all(rate)
        total = sounds.shape[1]
        starts = choose_windows(total, window, spec.windows, spec.phase)
        pieces = [sounds[:, start : start + window] for start in starts]
    else:
        parts = [track.decode_part(int(start), window, rate) for start in starts]
        pieces = [piece for piece, _ in parts]
        starts = np.asarray([start for _, start in parts])
    if not track.rate:
        raise CorruptMedia("the sound cannot be decoded") from track.failure
    facts = MediaFacts(
        MediaKind.AUDIO,
        audio_codec=track.codec,
        duration_seconds=total / rate,
        sample_rate=track.rate,
        channels=track.channels,
    )
    offset = 0.0 if origin is None else track.origin - origin
    rows = []
    for sound in map(list, zip(*pieces, strict=True)):
        spans = spans_of(sound, starts, rate)
        if track.apart:
            sound, spans = spoken(sound, spans, rate)
        of_sound = rows_of_pieces(facts, sound, spans, spec)
        times = track.with_pauses(of_sound.audio_times) if whole else of_sound.audio_times
        rows.append(replace(of_sound, audio_times=times + offset))
    return rows


def sound_facts(stream: av.AudioStream | None) -> MediaFacts:
    """What the header says of a sound that is not decoded."""
    if stream is None or stream.codec_context is None:
        return MediaFacts(MediaKind.AUDIO)
    context = stream.codec_context
    return MediaFacts(
        MediaKind.AUDIO,
        audio_codec=codec_name(stream),
        sample_rate=context.sample_rate,
        channels=context.channels,
    )


class _Track:
    """The packets of one sound stream, decodable as a whole or in part.

    Args:
        voices: hears the channels of what is decoded.

    Attributes:
        apart: channels that are taken each by itself; none for the mean of all.
        codec: its name.
        origin: seconds of its first sample on the stream's clock.
        seconds: its length, told by its packets (headers lie).
        rate, channels: as decoded, which for some AAC is twice what the header says; 0 before.
        failure: the last error of a packet.
    """

    def __init__(
        self,
        stream: av.AudioStream,
        packets: list[Packet],
        budget: Budget,
        voices: Voices | None = None,
        apart: tuple[int, ...] = (),
    ) -> None:
        self._decoder, self._packets, self._budget = stream.codec_context, packets, budget
        self._voices, self.apart = voices, apart
        self.codec = codec_name(stream)
        base = float(stream.time_base or 0)
        starts = np.asarray([np.nan if p.pts is None else p.pts * base for p in packets])
        lengths = np.asarray([(p.duration or 0) * base for p in packets])
        if np.isnan(starts).any():
            starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        self._starts, self._ends = starts, starts + lengths
        first = float(starts[0]) if stream.start_time is None else stream.start_time * base
        self.origin = max(first, float(starts[0]))
        self.seconds = max(0.0, float(self._ends.max()) - self.origin)
        budget.check_duration(self.seconds)
        self._stated_rate = max(1, self._decoder.sample_rate)
        self.rate = self.channels = 0
        self.failure: av.FFmpegError | None = None
        self._pauses: list[tuple[float, float]] = []

    def with_pauses(self, spans: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 2] seconds of what `decode_all` gave as seconds of the track, of which some have no packets."""
        begins = np.asarray([begin for begin, _ in self._pauses])
        lags = np.asarray([0.0, *(lag for _, lag in self._pauses)])
        ranks = [np.searchsorted(begins, spans[:, 0], "right"), np.searchsorted(begins, spans[:, 1], "left")]
        return np.asarray(spans + lags[np.stack(ranks, 1)])

    def decode_all(self, sample_rate: int) -> Channels:
        """The whole of its sounds at `sample_rate`: [1, samples] for the mean, or as many as are apart."""
        sounds, _ = self._decode(self._packets)
        return _resampled(sounds, self.rate, sample_rate)

    def decode_part(self, start: int, length: int, sample_rate: int) -> tuple[Channels, int]:
        """What `decode_all(sample_rate)[:, start : start + length]` would be, decoding no more than needed.

        Returns:
            The sounds, and where they start: a little earlier if the track ends sooner than its
            packets tell, as the padding of some codecs does.
        """
        # Both rates have a sample at every multiple of the grid: cutting there keeps their phase.
        begin = start / sample_rate - _RESAMPLER_LEAD_SECONDS - 1 / gcd(self._stated_rate, sample_rate)
        end = (start + length) / sample_rate + _RESAMPLER_LEAD_SECONDS
        wanted = (self._ends - self.origin > begin - _CODEC_LEAD_SECONDS) & (self._starts - self.origin < end)
        sounds, first_time = self._decode([self._packets[index] for index in np.flatnonzero(wanted)])
        if not sounds.shape[1]:
            return sounds, start
        grid = self.rate // gcd(self.rate, sample_rate)
        have = round((first_time - self.origin) * self.rate)
        cut = max(ceil(begin * self.rate / grid), ceil(have / grid), 0) * grid
        resampled = _resampled(sounds[:, cut - have :], self.rate, sample_rate)
        skip = min(start - cut * sample_rate // self.rate, resampled.shape[1] - length)
        skip = max(skip, 0)
        return resampled[:, skip : skip + length], skip + cut * sample_rate // self.rate

    def _decode(self, packets: list[Packet]) -> tuple[Channels, float]:
        """Decodes what can be of a run of packets.

        Returns:
            The sounds at the track's own rate, and the time of their first sample.
        """
        self._decoder.flush_buffers()
        runs: list[Downmix] = []
        first_time, decoded = None, 0
        for packet in [*packets, None]:
            self._budget.remaining_seconds()
            try:
                frames = self._decoder.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError as error:
                self.failure = error
                continue
            for frame in frames:
                if first_time is None:
                    first_time = self._check(frame)
                if frame.sample_rate in _SAMPLE_RATES:
                    self._note_pause(frame, first_time, decoded)
                    add_to(runs, frame, self._voices, self.apart)
                    decoded += round(frame.samples * self.rate / frame.sample_rate)
        nothing = np.zeros((len(self.apart) or 1, 0), np.float32)
        parts = [_at_rate(run.sounds(), run.rate, self.rate) for run in runs]
        sounds = np.concatenate([nothing, *parts], 1)
        return sounds, self.origin if first_time is None else first_time

    def _note_pause(self, frame: av.AudioFrame, first_time: float, decoded: int) -> None:
        # Recorders write nothing while a microphone is mute.
        if frame.pts is None or frame.time_base is None:
            return
        lag = float(frame.pts * frame.time_base) - first_time - decoded / self.rate
        if lag - (self._pauses[-1][1] if self._pauses else 0.0) > _PAUSE_SECONDS:
            self._pauses.append((decoded / self.rate, lag))

    def _check(self, frame: av.AudioFrame) -> float:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if rate not in _SAMPLE_RATES or not 1 <= channels <= _MAX_CHANNELS:
            raise UnsupportedMedia(f"sound of {rate} Hz and {channels} channels is not read here")
        self.rate, self.channels = rate, channels
        if frame.pts is None or frame.time_base is None:
            return self.origin
        return float(frame.pts * frame.time_base)


def _resampled(sounds: Channels, rate: int, sample_rate: int) -> Channels:
    return np.clip(_at_rate(sounds, rate, sample_rate), -1, 1)


def _at_rate(sounds: Channels, rate: int, sample_rate: int) -> Channels:
    if rate == sample_rate or not sounds.shape[1]:
        return sounds
    resampled = [soxr.resample(sound, rate, sample_rate, quality="HQ") for sound in sounds]
    return np.stack(resampled).astype(np.float32, copy=False)
