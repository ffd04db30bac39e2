"""The public door: the bytes of one medium in, raw rows out."""

from dataclasses import replace

from av import VideoStream

from server.errors import CorruptMedia, MediaError, UnsupportedMedia
from server.media import probe
from server.media.aperture import cut_off
from server.media.audio import sound_facts, sound_rows
from server.media.container import Demuxed, demux, open_container
from server.media.failures import typed_errors
from server.media.gif import check_gif, gif_size
from server.media.heif import decode_heif
from server.media.image import decode_only, decode_still
from server.media.limits import Budget, MediaLimits
from server.media.png import read_png
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec
from server.media.video import picture_facts, picture_rows


def decode(
    data: bytes,
    spec: RowSpec,
    limits: MediaLimits,
    kind: MediaKind | None = None,
    reduced_jpeg: bool = False,
) -> MediaRows:
    """Decodes one photo, video or sound into the rows that `spec` asks for.

    What could not be judged beside what could, such as a video's broken sound track, is named
    in `facts.warnings`. Sound shorter than 0.25 s gives no windows and a warning.

    Args:
        data: the encoded file; its format is told from its bytes.
        kind: what the sender says it is; None if nothing was said.
        reduced_jpeg: see `decode_reduced`.

    Raises:
        UnsupportedMedia: a format or codec that is not allowed, or another kind than stated.
        CorruptMedia: nothing can be decoded from it.
        MediaLimitExceeded, DecodeTimeout: it crosses one of the limits.
    """
    budget = Budget(limits)
    budget.check_bytes(len(data))
    found = probe.identify(data)
    if found.kind is not None:
        _check_kind(found.kind, kind)
    if found.still:
        return decode_still(data, found, spec, budget, reduced_jpeg)
    content = data
    warnings: tuple[str, ...] = ()
    if found is probe.GIF:
        budget.check_pixels(*gif_size(data))
    elif found is probe.APNG:
        header = read_png(data, animated=True)
        budget.check_pixels(header.width, header.height)
        content, warnings = header.payload, header.warnings
    with typed_errors("the file"), open_container(content, found, budget) as container:
        if found is probe.HEIF:
            rows = decode_heif(container, data, spec, budget)
        else:
            rows = _decode_streams(demux(container, data, found, budget), found, spec, budget, kind)
        if found in (probe.MOV, probe.HEIF):
            rows = rows.warned(*cut_off(data, rows.facts.width, rows.facts.height))
        rows = rows.warned(*warnings)
        return replace(rows, facts=replace(rows.facts, container=container.format.name, size_bytes=len(data)))


def decode_reduced(
    data: bytes, spec: RowSpec, limits: MediaLimits, kind: MediaKind | None = None
) -> MediaRows:
    """As `decode`, but a JPEG of which no crops are wanted is decoded at a fraction of its size.

    Needs the extra `reduced-jpeg`.
    """
    return decode(data, spec, limits, kind, reduced_jpeg=True)


def _check_kind(found: MediaKind, stated: MediaKind | None) -> None:
    if stated is not None and stated is not found:
        raise UnsupportedMedia(
            f"the file was stated to be {stated.value}, but it is {found.value}",
            "State no kind, or the right one.",
        )


def _decode_streams(
    demuxed: Demuxed, found: probe.Format, spec: RowSpec, budget: Budget, stated: MediaKind | None
) -> MediaRows:
    if found is probe.GIF and demuxed.video_packets:
        check_gif(demuxed.video_packets)
    if demuxed.video is None:
        _check_kind(MediaKind.AUDIO, stated)
        rows = _sound(demuxed, None, spec, budget)
    elif found in (probe.GIF, probe.APNG) and len(demuxed.video_packets) == 1:
        _check_kind(MediaKind.IMAGE, stated)
        rows = decode_only(demuxed.video, demuxed.video_packets[0], spec, budget)
    else:
        _check_kind(MediaKind.VIDEO, stated)
        rows = _video(demuxed.video, demuxed, spec, budget)
    return rows.warned(*demuxed.warnings)


def _video(stream: VideoStream, demuxed: Demuxed, spec: RowSpec, budget: Budget) -> MediaRows:
    """Pictures and sound; one of the two may fail, with a warning, if the other gives rows."""
    failures: list[MediaError] = []
    begin, end = demuxed.span or (0.0, 0.0)
    budget.check_duration(end - begin)
    rows = MediaRows(replace(picture_facts(stream), duration_seconds=end - begin))
    try:
        with typed_errors("the pictures"):
            rows = picture_rows(stream, demuxed, spec, budget)
    except (CorruptMedia, UnsupportedMedia) as error:
        failures.append(error)
    try:
        rows = _joined(rows, _sound(demuxed, begin if demuxed.span else None, spec, budget))
    except (CorruptMedia, UnsupportedMedia) as error:
        failures.append(error)
    if failures and not (len(rows.frames) or len(rows.audio)):
        raise failures[0]
    return rows.warned(*(f"Not judged: {error.message}." for error in failures))


def _sound(demuxed: Demuxed, origin: float | None, spec: RowSpec, budget: Budget) -> MediaRows:
    if not spec.want_audio:
        return MediaRows(sound_facts(demuxed.audio))
    if demuxed.audio is None:
        return MediaRows(MediaFacts(MediaKind.VIDEO, warnings=("The video has no sound track.",)))
    with typed_errors("the sound"):
        return sound_rows(demuxed.audio, demuxed.audio_packets, origin, spec, budget)


def _joined(pictures: MediaRows, sound: MediaRows) -> MediaRows:
    facts = replace(
        pictures.facts,
        audio_codec=sound.facts.audio_codec,
        sample_rate=sound.facts.sample_rate,
        channels=sound.facts.channels,
        warnings=pictures.facts.warnings + sound.facts.warnings,
    )
    return replace(
        pictures,
        facts=facts,
        audio=sound.audio,
        audio_times=sound.audio_times,
        audio_channel=sound.audio_channel,
    )
