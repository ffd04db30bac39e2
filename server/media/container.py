"""Opening untrusted containers so that nothing but the given bytes is ever read."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import av
from av.container import InputContainer
from av.stream import Disposition

from server.errors import CorruptMedia, UnsupportedMedia
from server.media import probe
from server.media.failures import describe
from server.media.joints import JOINED, JoinedClock
from server.media.limits import LARGEST_PIXELS, Budget
from server.media.probe import Format
from server.media.types import MediaKind

Stream = av.VideoStream | av.AudioStream
_Stream = TypeVar("_Stream", av.VideoStream, av.AudioStream)
if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic in PyAV's stubs only
else:
    Packet = av.Packet

_DECODERS = frozenset(("libdav1d", "mp3float", "mp2float", "mp1float", "libopencore_amrnb", "amrnb", "amrwb"))
_CODECS = ",".join(sorted(probe.VIDEO_CODECS | probe.AUDIO_CODECS | _DECODERS))
_READ_BYTES = 256 * 1024
# Sound needs no look-ahead: FFmpeg's default would decode seconds of it before we ask for any.
_SOUND_PROBE = {"probesize": "16384", "analyzeduration": "0"}
_PROBE = {"probesize": "5000000", "analyzeduration": "5000000"}
# These state in their header what FFmpeg would else decode the first frames for, to throw them away.
_SPEAKING_HEADERS = frozenset((probe.MOV, probe.MATROSKA, probe.HEIF))
# And a cap would have FFmpeg forget the size of what is too large, which is to be told.
_NO_PICTURES = {"skip_frame": "all", "max_pixels": str(LARGEST_PIXELS)}
# Whose decoders keep nothing over a flush that shows in later frames, even of damaged files; but HEVC, where
# no two decodings of a damaged one need be equal anyway.
_FORGETFUL = frozenset(("h264", "hevc", "vp9", "av1"))
_MAX_SAMPLES_PER_FRAME = 4 * 2**20
MAX_TILES = 512
"""A phone's picture of 48 megapixels has 192, and as many again for its brightness."""


def open_container(data: bytes, found: Format, budget: Budget) -> InputContainer:
    """Opens a container with the one demuxer that `probe` chose.

    The bytes are given without a name and with every protocol forbidden, so that no reference
    in them can be followed.
    """
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": found.name,
        "codec_whitelist": _CODECS,
        "max_streams": str(MAX_TILES if found is probe.HEIF else budget.limits.max_streams),
        **_decoder_caps(budget),
        **(_SOUND_PROBE if found.kind is MediaKind.AUDIO else _PROBE),
        **(_NO_PICTURES if found in _SPEAKING_HEADERS else {}),
    }
    return av.open(
        io.BytesIO(data),
        "r",
        format=found.name,
        options=options,
        metadata_errors="replace",
        buffer_size=_READ_BYTES,
        timeout=budget.remaining_seconds(),
    )


@dataclass(frozen=True, slots=True)
class Demuxed:
    """The streams that are judged, and their packets in the order of the file.

    Attributes:
        video: moving pictures, as viewers show them; cover art is none.
        span: seconds on the container's clock from the first picture or sound to the end of the last; None if
            no packet of the pictures tells.
        decode_times_only: whether the container stores no presentation times.
        spare_decoder: opens another decoder for `video`, which gives the same frames; None if it might not.
        warnings: how the file breaks off, if it does.
    """

    video: av.VideoStream | None
    audio: av.AudioStream | None
    video_packets: list[Packet]
    audio_packets: list[Packet]
    span: tuple[float, float] | None
    decode_times_only: bool
    spare_decoder: Callable[[], AbstractContextManager[av.VideoCodecContext]] | None
    warnings: tuple[str, ...] = ()


def demux(container: InputContainer, data: bytes, found: Format, budget: Budget) -> Demuxed:
    """Reads all packets of the video and the sound that viewers play; decodes nothing.

    Raises:
        CorruptMedia: there is neither.
        DecodeTimeout, MediaLimitExceeded
    """
    films = [stream for stream in container.streams.video if not _is_cover(stream)]
    video = None if found.kind is MediaKind.AUDIO else _shown(films)
    audio = _shown(container.streams.audio)
    streams = [stream for stream in (video, audio) if stream is not None]
    if not streams:
        raise CorruptMedia("the file holds neither pictures nor sound")
    pictures: list[Packet] = []
    sound: list[Packet] = []
    warnings = _passed_over(len(films), len(container.streams.audio))
    clock = JoinedClock() if found.name in JOINED else None
    try:
        for packet in container.demux(*streams):
            budget.take_packet()
            if packet.size:
                if clock:
                    clock.mend(packet)
                (pictures if packet.stream is video else sound).append(packet)
    except MemoryError:
        raise
    except (av.FFmpegError, IndexError) as error:
        if not (pictures or sound):
            raise
        warnings += (f"The file breaks off: {describe(error)}.",)
    if video is not None and video.disposition & Disposition.attached_pic:
        # FFmpeg gives the first picture of such a track once more, without a time.
        pictures = [packet for packet in pictures if packet.dts is not None]
    spare_decoder = None
    if video and found in _SPEAKING_HEADERS and codec_name(video) in _FORGETFUL:
        place = list(container.streams.video).index(video)
        spare_decoder = partial(_decoder_of, data, found, place, budget)
    decode_times_only = found in (probe.AVI, probe.ASF)
    shown, heard = _span(video, pictures), _span(audio, sound)
    span = (min(shown[0], heard[0]), max(shown[1], heard[1])) if shown and heard else shown
    return Demuxed(video, audio, pictures, sound, span, decode_times_only, spare_decoder, warnings)


def _span(stream: Stream | None, packets: list[Packet]) -> tuple[float, float] | None:
    """Seconds from the first of a stream to the end of its last; None if no packet tells."""
    played = [packet for packet in packets if not packet.is_discard]
    stamps = [(packet.dts if packet.pts is None else packet.pts, packet.duration or 0) for packet in played]
    known = [(stamp, length) for stamp, length in stamps if stamp is not None]
    if stream is None or stream.time_base is None or not known:
        return None
    begin, end = min(known)[0], sum(max(known))
    if isinstance(stream, av.AudioStream) and stream.start_time is not None:
        begin = max(begin, stream.start_time)  # what a codec needs before that is not heard
    return float(begin * stream.time_base), float(end * stream.time_base)


@contextmanager
def _decoder_of(data: bytes, found: Format, place: int, budget: Budget) -> Iterator[av.VideoCodecContext]:
    # Only the container knows all that a decoder must be told.
    with open_container(data, found, budget) as container:
        decoder = container.streams.video[place].codec_context
        tune_decoder(decoder, budget)
        yield decoder


def _passed_over(films: int, sounds: int) -> tuple[str, ...]:
    return tuple(
        f"Of {count} {kind} tracks only the one that players begin with was judged."
        for kind, count in (("video", films), ("sound", sounds))
        if count > 1
    )


def _is_cover(stream: av.VideoStream) -> bool:
    """Whether a stream is cover art, or pictures of chapters, whose track is disabled.

    Viewers play an enabled one, although FFmpeg takes all that chapters refer to for their pictures.
    """
    kinds = stream.disposition
    chapters = kinds & Disposition.timed_thumbnails and kinds & Disposition.default
    return bool(kinds & Disposition.attached_pic and not chapters)


def _shown(streams: Sequence[_Stream]) -> _Stream | None:
    """The one of several that viewers show: the first that the file makes the default, else the first."""
    return next(
        (stream for stream in streams if stream.disposition & Disposition.default), next(iter(streams), None)
    )


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, not of the decoder; empty if it has no decoder."""
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else ""


def check_codec(stream: Stream, allowed: frozenset[str]) -> None:
    """FFmpeg's own list of allowed codecs binds it only while it probes."""
    name = codec_name(stream)
    if name not in allowed:
        raise UnsupportedMedia(f"{stream.type} coded as {name or 'an unknown codec'} is not read here")


def check_clear(packets: list[Packet]) -> None:
    """Decoders take what is encrypted for damaged, and some of them give noise."""
    if any(packet.has_sidedata("encryption_info") for packet in packets):
        raise UnsupportedMedia("encrypted media are not read here")


def tune_decoder(decoder: av.CodecContext, budget: Budget) -> None:
    """One thread, and caps: those given to the container bind only the decoders that probe it."""
    decoder.thread_count = 1
    decoder.options = _decoder_caps(budget)


def _decoder_caps(budget: Budget) -> dict[str, str]:
    return {"max_pixels": str(budget.limits.max_pixels), "max_samples": str(_MAX_SAMPLES_PER_FRAME)}
