"""Receives one medium in chunks, from a caller who may send too much, too slowly or nothing."""

import asyncio
from collections.abc import AsyncIterator

from deepfake.v1 import detector_pb2 as pb
from server.detect.media_bytes import MediaBytes
from server.errors import InvalidRequest, MediaLimitExceeded, TooSlow
from server.settings import Settings

_MOMENT_SECONDS = 0.1


async def receive(
    parts: AsyncIterator[pb.DetectUploadRequest], settings: Settings, media_bytes: MediaBytes
) -> tuple[pb.DetectRequest, bytes]:
    """The request as Detect would have got it, without the content of its medium; and that content.

    Its bytes are counted while they arrive; from then on the pipeline counts them.

    Raises:
        InvalidRequest: the parts are out of order, or their size is not the one stated.
        MediaLimitExceeded: too many bytes for one medium.
        Overloaded: too many bytes for the server now.
        TooSlow: chunks do not come, or are too small for their pace.
    """
    idle, rate = settings.upload_idle_timeout_seconds, settings.min_upload_bytes_per_second
    clock = asyncio.get_running_loop().time
    due = clock() + idle
    header: pb.DetectUploadHeader | None = None
    content = bytearray()
    try:
        with media_bytes.hold() as held:
            async with asyncio.timeout_at(due) as patience:
                async for part in parts:
                    if part.WhichOneof("part") == "header" and header is None:
                        header = part.header
                        _check_size(header.size_bytes, settings)
                        held.check(header.size_bytes)
                    elif part.WhichOneof("part") == "chunk" and header is not None:
                        _check_size(len(content) + len(part.chunk), settings)
                        held.add(len(part.chunk))
                        content += part.chunk
                        # A chunk earns the time that it may take at the slowest pace, so that single
                        # bytes do not keep an upload alive.
                        due = min(clock() + idle, due + len(part.chunk) / rate)
                        patience.reschedule(due)
                    else:
                        raise InvalidRequest("an upload is one header, then chunks")
    except TimeoutError as error:
        raise TooSlow(
            f"the upload stopped or was slower than {rate} bytes a second; {len(content)} bytes arrived"
        ) from error
    if header is None or not content or header.size_bytes not in (0, len(content)):
        # Parts end as well when the call does: one that is cancelled, which shows a moment later, is no
        # mistake in the request.
        await asyncio.sleep(_MOMENT_SECONDS)
    if header is None:
        raise InvalidRequest("the upload has no header")
    if header.size_bytes not in (0, len(content)):
        raise InvalidRequest(f"the upload has {len(content)} bytes, its header says {header.size_bytes}")
    # A message would copy it, and keep the copy until the answer is given.
    medium = pb.Medium(kind=header.kind, name=header.name)
    return pb.DetectRequest(id=header.id, media=[medium], options=header.options), bytes(content)


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.max_media_bytes:
        raise MediaLimitExceeded(f"the upload is larger than {settings.max_media_bytes} bytes")
