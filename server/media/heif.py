"""AVIF and HEIC to rows: a single picture, or one put together of tiles as phones write it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import av
from av.container import InputContainer
from av.filter import Graph
from av.stream import Disposition

from server.errors import CorruptMedia, MediaLimitExceeded, UnsupportedMedia
from server.media.container import MAX_TILES, check_codec, codec_name, tune_decoder
from server.media.heif_items import Grid, has_alpha, read_grid
from server.media.image import decode_only, first_frame, frame_rows, state_colours
from server.media.limits import Budget
from server.media.probe import STILL_CODECS
from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec


def decode_heif(container: InputContainer, data: bytes, spec: RowSpec, budget: Budget) -> MediaRows:
    """Rows of the primary picture.

    Raises:
        UnsupportedMedia: it is made of others, but not as a grid, or the file holds a video as well.
        MediaError: see `server.media.decode.decode`.
    """
    grid = read_grid(data)
    if grid is None:
        rows = _decode_single(container, spec, budget)
    else:
        rows = _decode_grid(container, grid, spec, budget)
    warnings = (*rows.facts.warnings, "Transparency was ignored.") if has_alpha(data) else rows.facts.warnings
    return replace(rows, facts=replace(rows.facts, warnings=warnings))


def _decode_single(container: InputContainer, spec: RowSpec, budget: Budget) -> MediaRows:
    stream = _primary(container.streams.video)
    check_codec(stream, STILL_CODECS)
    packet = next((packet for packet in container.demux(stream) if packet.size), None)
    if packet is None:
        raise CorruptMedia("the picture is empty")
    return decode_only(stream, packet, spec, budget)


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
        raise MediaLimitExceeded(f"{len(grid.tiles)} tiles are more than the {MAX_TILES} allowed")
    streams = {stream.id: stream for stream in container.streams.video if stream.duration is None}
    if not set(grid.tiles) <= streams.keys():
        raise CorruptMedia("tiles of the picture are missing")
    tiles = {number: streams[number] for number in grid.tiles}
    frames: dict[int, av.VideoFrame] = {}
    for stream in tiles.values():
        check_codec(stream, STILL_CODECS)
        budget.check_pixels(stream.width, stream.height)
        tune_decoder(stream.codec_context, budget)
    for packet in container.demux(*tiles.values()):
        budget.take_packet()
        if packet.size:
            decoder = cast("av.VideoCodecContext", packet.stream.codec_context)
            frames[packet.stream.id] = first_frame(decoder, packet)
    if len(frames) < len(tiles):
        raise CorruptMedia("tiles of the picture are empty")
    whole = _put_together([frames[number] for number in grid.tiles], grid)
    first = tiles[grid.tiles[0]].codec_context
    state_colours(whole, *(grid.colours or (first.colorspace, first.color_range)))
    facts = MediaFacts(MediaKind.IMAGE, video_codec=codec_name(tiles[grid.tiles[0]]))
    return frame_rows(whole, (grid.width, grid.height), grid.orientation, facts, spec)


def _put_together(frames: list[av.VideoFrame], grid: Grid) -> av.VideoFrame:
    first = frames[0]
    kind = (first.width, first.height, first.format.name)
    if any((frame.width, frame.height, frame.format.name) != kind for frame in frames):
        raise CorruptMedia("tiles of different kinds in one picture")
    if grid.width > grid.columns * first.width or grid.height > grid.rows * first.height:
        raise CorruptMedia("tiles that do not cover the picture")
    graph = Graph()
    graph.threads = 1
    crop = graph.add("crop", f"w={grid.width}:h={grid.height}:x=0:y=0:exact=1")
    sink = graph.add("buffersink")
    crop.link_to(sink)
    source = (
        f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:time_base=1/1"
        f":colorspace={int(first.colorspace)}:range={int(first.color_range)}"
    )
    sources = [graph.add("buffer", source) for _ in frames]
    if len(frames) == 1:
        sources[0].link_to(crop)
    else:
        stack = graph.add("xstack", f"inputs={len(frames)}:grid={grid.columns}x{grid.rows}")
        stack.link_to(crop)
        for number, entry in enumerate(sources):
            entry.link_to(stack, 0, number)
    graph.configure()
    for entry, frame in zip(sources, frames, strict=True):
        frame.pts = 0
        entry.push(frame)
    return cast("av.VideoFrame", sink.pull())
