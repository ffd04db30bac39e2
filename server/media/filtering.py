"""FFmpeg's filters on single frames."""

from collections.abc import Sequence
from typing import cast

import av
from av.filter import Graph
from av.filter.context import FilterContext


def new_graph() -> Graph:
    """Of filters that work in the caller's thread."""
    graph = Graph()
    graph.threads = 1
    return graph


def source_of(graph: Graph, frame: av.VideoFrame) -> FilterContext:
    """Where a frame like this one enters a graph."""
    return graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )


def pulled(sink: FilterContext) -> av.VideoFrame:
    """What comes out of a buffersink of pictures: a picture, which PyAV's stubs do not know."""
    return cast("av.VideoFrame", sink.pull())


def merged(
    graph: Graph, first: FilterContext, last: FilterContext, frames: Sequence[av.VideoFrame]
) -> av.VideoFrame:
    """What leaves `last` when one frame enters each input of `first`.

    Raises:
        av.FFmpegError
    """
    sources = [source_of(graph, frame) for frame in frames]
    for number, source in enumerate(sources):
        source.link_to(first, 0, number)
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, frames, strict=True):
        frame.pts = 0
        source.push(frame)
    return pulled(sink)
