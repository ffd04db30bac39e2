"""AVIF and HEIC to rows: a single picture, or one put together of tiles as phones write it."""

from collections.abc import Sequence
from typing import cast

import av
from av.container import InputContainer
from av.stream import Disposition

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.container import MAX_TILES, check_codec, codec_name
from server.media.filtering import merged, new_graph
from server.media.heif_items import Grid, read_primary
from server.media.image import decode_picture, frame_rows, state_colours
from server.media.limits import Budget
from server.media.orientation import frame_orientation
from server.media.pixels import PixelConverter, is_narrow_grey
from server.media.probe import STILL_CODECS
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec


def decode_heif(container: InputContainer, data: bytes, spec: RowSpec, budget: Budget) -> MediaRows:
    """Rows of the primary picture.

    Raises:
        UnsupportedMedia: it is made of others, but not as a grid, or the file holds a video as well.
        MediaError: see `server.media.decode.decode`.
    """
    primary = read_primary(data)
    if primary.grid:
        rows, transparent = _decode_grid(container, primary.grid, spec, budget), False
    else:
        rows, transparent = _decode_single(container, primary.alpha, spec, budget)
    if primary.transparent and not transparent:
        return rows.warned("Transparency was ignored.")
    return rows


def _decode_single(
    container: InputContainer, alpha: int | None, spec: RowSpec, budget: Budget
) -> tuple[MediaRows, bool]:
    """Rows, and whether they show its transparency."""
    stream = _primary(container.streams.video)
    beside = [other for other in container.streams.video if other.id == alpha and other is not stream]
    frames = _frames(container, [stream, *beside[:1]], budget)
    frame = frames[stream.id]
    orientation = frame_orientation(frame)
    mask = frames.get(alpha) if alpha is not None else None
    transparent = mask is not None and (mask.width, mask.height) == (frame.width, frame.height)
    if mask and transparent:
        frame = _with_alpha(frame, mask)
    facts = MediaFacts(MediaKind.IMAGE, video_codec=codec_name(stream))
    return frame_rows(frame, orientation, facts, spec), transparent


def _primary(streams: Sequence[av.VideoStream]) -> av.VideoStream:
    """The item that browsers show."""
    chosen = [stream for stream in streams if stream.disposition & Disposition.default]
    if not streams:
        raise CorruptMedia("the file holds no picture")
    # Tracks have a duration, items have none.
    if len(chosen) != 1 or chosen[0].duration is not None:
        raise UnsupportedMedia("AVIF and HEIC of derived pictures or with a video are not read here")
    return chosen[0]


def _decode_grid(container: InputContainer, grid: Grid, spec: RowSpec, budget: Budget) -> MediaRows:
    budget.check_pixels(grid.width, grid.height)
    if len(grid.tiles) > MAX_TILES:
        # One item may be in many places; putting it there takes the square of their number.
        problem = f"{len(grid.tiles)} tiles are more than the {MAX_TILES} allowed"
        raise MediaLimitExceeded(problem, "Convert it to JPEG or PNG.")
    streams = {stream.id: stream for stream in container.streams.video if stream.duration is None}
    if not set(grid.tiles) <= streams.keys():
        raise CorruptMedia("tiles of the picture are missing")
    frames = _frames(container, [streams[number] for number in set(grid.tiles)], budget)
    whole = _put_together([frames[number] for number in grid.tiles], grid)
    # Put together, tiles forget it.
    whole.color_trc = frames[grid.tiles[0]].color_trc
    if grid.colours:
        state_colours(whole, *grid.colours)
    facts = MediaFacts(MediaKind.IMAGE, video_codec=codec_name(streams[grid.tiles[0]]))
    return frame_rows(whole, grid.orientation, facts, spec)


def _frames(
    container: InputContainer, streams: Sequence[av.VideoStream], budget: Budget
) -> dict[int, av.VideoFrame]:
    """The picture of each stream, by the number of its item."""
    for stream in streams:
        check_codec(stream, STILL_CODECS)
    frames: dict[int, av.VideoFrame] = {}
    for packet in container.demux(*streams):
        budget.take_packet()
        if packet.size and packet.stream.id not in frames:
            stream = cast("av.VideoStream", packet.stream)
            frames[stream.id] = decode_picture(stream, packet, budget)
    if len(frames) < len(streams):
        raise CorruptMedia("the picture, or a tile of it, is empty")
    return frames


def _put_together(frames: list[av.VideoFrame], grid: Grid) -> av.VideoFrame:
    first = frames[0]
    kind = (first.width, first.height, first.format.name)
    if any((frame.width, frame.height, frame.format.name) != kind for frame in frames):
        raise CorruptMedia("tiles of different kinds in one picture")
    if grid.width > grid.columns * first.width or grid.height > grid.rows * first.height:
        raise CorruptMedia("tiles that do not cover the picture")
    graph = new_graph()
    crop = graph.add("crop", f"w={grid.width}:h={grid.height}:x=0:y=0:exact=1")
    if len(frames) == 1:
        return merged(graph, crop, crop, frames)
    stack = graph.add("xstack", f"inputs={len(frames)}:grid={grid.columns}x{grid.rows}")
    stack.link_to(crop)
    return merged(graph, stack, crop, frames)


def _with_alpha(frame: av.VideoFrame, alpha: av.VideoFrame) -> av.VideoFrame:
    if is_narrow_grey(frame):
        # Of what is merged nobody could tell any more that it is.
        [pixels] = PixelConverter().native(frame, [(0, 0, frame.width, frame.height)])
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    graph = new_graph()
    merge = graph.add("alphamerge")
    return merged(graph, merge, merge, [frame, alpha])
