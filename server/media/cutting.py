"""Cutting parts out of a decoded frame before its colours are converted, which costs as much as decoding."""

from collections.abc import Iterable

import av

from server.media.filtering import new_graph, pulled, source_of
from server.media.sampling import Box

# Enlarging chroma looks at neighbours: with this much around it, a part gets the colours that it
# has in the whole picture.
_MARGIN = 8
# The most columns and rows that share a sample of chroma.
_COARSEST = 4


def window(box: Box, frame: av.VideoFrame) -> Box:
    """What must be converted of a frame for a box of it to get the colours that it has in the whole."""
    left, top, right, bottom = box
    columns = _COARSEST // frame.format.chroma_width(_COARSEST)
    rows = _COARSEST // frame.format.chroma_height(_COARSEST)
    left, right = _span(left, right, frame.width, columns)
    top, bottom = _span(top, bottom, frame.height, rows)
    return left, top, right, bottom


def _span(first: int, last: int, end: int, step: int) -> tuple[int, int]:
    if end % step:
        # The last sample of chroma stands for less than a whole step, and swscale spreads the
        # samples evenly over all columns (or rows): a part would not get the same ones.
        return 0, end
    return max(first - _MARGIN, 0) // _COARSEST * _COARSEST, min(-(-last // step) * step + _MARGIN, end)


def cut(frame: av.VideoFrame, boxes: Iterable[Box]) -> dict[Box, av.VideoFrame]:
    """Each box of a frame as a frame of its own; copies no pixels.

    Args:
        boxes: left, top, right, bottom; left and top as `window` gives them.

    Raises:
        av.FFmpegError
    """
    boxes = list(boxes)
    graph = new_graph()
    source = source_of(graph, frame)
    copies = graph.add("split", str(len(boxes)))
    source.link_to(copies)
    sinks = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        crop = graph.add("crop", f"w={right - left}:h={bottom - top}:x={left}:y={top}:exact=1")
        sinks.append(graph.add("buffersink"))
        copies.link_to(crop, number)
        crop.link_to(sinks[number])
    graph.configure()
    source.push(frame)
    return {box: pulled(sink) for box, sink in zip(boxes, sinks, strict=True)}
