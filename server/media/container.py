"""Opening untrusted containers so that nothing but the given bytes is ever read."""

import io
from collections.abc import Iterator

import av
from av.container import InputContainer

from server.media import probe
from server.media.limits import Budget
from server.media.probe import Format
from server.media.types import MediaKind

_CODECS = (
    probe.VIDEO_CODECS | probe.AUDIO_CODECS | frozenset(("libdav1d", "mp3float", "mp2float", "mp1float"))
)
_READ_BYTES = 256 * 1024
# Sound needs no look-ahead: FFmpeg's default would decode seconds of it before we ask for any.
_SOUND_PROBE = {"probesize": "16384", "analyzeduration": "0"}
_PROBE = {"probesize": "5000000", "analyzeduration": "5000000"}


def open_container(data: bytes, found: Format, budget: Budget) -> InputContainer:
    """Opens a container with the one demuxer that `probe` chose.

    The bytes are given without a name and with every protocol forbidden, so that no reference
    in them can be followed.
    """
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": found.name,
        "codec_whitelist": ",".join(sorted(_CODECS)),
        "max_streams": str(budget.limits.max_streams),
        **(_SOUND_PROBE if found.kind is MediaKind.AUDIO else _PROBE),
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


def tune_decoder(decoder: av.CodecContext, budget: Budget) -> None:
    """One thread, and the caps that options given to the container do not carry to a decoder."""
    decoder.thread_count = 1
    decoder.options = {
        "max_pixels": str(budget.limits.max_pixels),
        "max_samples": str(MAX_SAMPLES_PER_FRAME),
    }


MAX_SAMPLES_PER_FRAME = 4 * 2**20


def read_packets(
    container: InputContainer, streams: list[av.stream.Stream], budget: Budget
) -> Iterator[av.Packet]:
    """Every packet of the streams that holds something, in the order of the file."""
    for packet in container.demux(streams):
        budget.take_packet()
        if packet.size:
            yield packet
