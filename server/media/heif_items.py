"""The tiles that the picture of an AVIF or HEIC is made of (ISO/IEC 23008-12), which PyAV does not tell."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from server.errors import CorruptMedia
from server.media.orientation import Orientation, from_exif

_FULL_RANGE, _LIMITED_RANGE = 2, 1
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
# EXIF's number for quarter turns to the left, and what is exchanged then: nothing, top and bottom, sides.
_TURNS = {0: (1, 4, 2), 1: (8, 5, 7), 2: (3, 2, 4), 3: (6, 7, 5)}

Data = TypeVar("Data", bytes, memoryview)
Properties = list[tuple[bytes, bytes]]
"""Names and contents, in the order in which they apply."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture that is put together of tiles, row by row, and cut to its size.

    Attributes:
        tiles: numbers of their items.
        colours: matrix, range and transfer as in AVColorSpace, AVColorRange and
            AVColorTransferCharacteristic, if they are stated.
    """

    rows: int
    columns: int
    width: int
    height: int
    tiles: tuple[int, ...]
    orientation: Orientation
    colours: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Primary:
    """The picture that viewers show.

    Attributes:
        grid: what it is made of, if it is not coded itself.
        alpha: number of the item with its transparency, where that is not multiplied into its colours.
        transparent: whether any picture of the file is.
    """

    grid: Grid | None
    alpha: int | None
    transparent: bool


def read_primary(data: bytes) -> Primary:
    """Raises CorruptMedia."""
    try:
        meta = _meta(data)
        item = _primary(meta)
        grid = _grid(data, meta, item) if _kind(meta, item) == b"grid" else None
        return Primary(grid, _alpha(meta, item), any(name in data for name in _ALPHA))
    except struct.error as error:
        raise CorruptMedia("the file ends within its header") from error


def primary_properties(data: bytes) -> Properties:
    """Of the picture that viewers show. Raises CorruptMedia or struct.error."""
    meta = _meta(data)
    return _properties(meta).get(_primary(meta), [])


def _meta(data: bytes) -> dict[bytes, bytes]:
    # What follows is no viewer's concern: many files have something behind their last box.
    return _children(next((content for name, content in boxes(data) if name == b"meta"), b"")[4:])


def _grid(data: bytes, meta: dict[bytes, bytes], item: int) -> Grid:
    fields = _Fields(_content(data, meta, item))
    _, flags, rows, columns = (fields.take(1) for _ in range(4))
    width, height = (fields.take(4 if flags & 1 else 2) for _ in range(2))
    parts = (parts for name, whole, parts in _references(meta) if (name, whole) == (b"dimg", item))
    tiles = next(parts, ())
    if len(tiles) != (rows + 1) * (columns + 1):
        raise CorruptMedia(f"a grid of {rows + 1} x {columns + 1} tiles that has {len(tiles)}")
    own = _properties(meta).get(item, [])
    return Grid(rows + 1, columns + 1, width, height, tiles, _orientation(own), _colours(own))


def _alpha(meta: dict[bytes, bytes], item: int) -> int | None:
    references = list(_references(meta))
    if any(name == b"prem" and source == item for name, source, _ in references):
        return None
    beside = [source for name, source, targets in references if name == b"auxl" and item in targets]
    known = _properties(meta) if beside else {}
    return next((number for number in beside if _is_alpha(known.get(number, []))), None)


def _is_alpha(properties: Properties) -> bool:
    return any(name == b"auxC" and content[4:].startswith(_ALPHA) for name, content in properties)


class _Fields:
    """Big-endian numbers, one behind the other."""

    def __init__(self, data: bytes, full_box: bool = False) -> None:
        self._rest = io.BytesIO(data)
        self.version, self.flags = (self.take(1), self.take(3)) if full_box else (0, 0)

    def take(self, size: int) -> int:
        return int.from_bytes(self.read(size), "big")

    def read(self, size: int) -> bytes:
        part = self._rest.read(size)
        if len(part) < size:
            raise CorruptMedia("the file ends within its header")
        return part

    def rest(self) -> bytes:
        return self._rest.read()


def boxes(data: Data) -> Iterator[tuple[bytes, Data]]:
    """Names and contents. Raises CorruptMedia or struct.error where they end."""
    position = 0
    while position < len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = position + size if size else len(data)
        if end < start:
            raise CorruptMedia("a box that is smaller than its header")
        yield name, data[start:end]
        position = end


def _children(data: bytes) -> dict[bytes, bytes]:
    return dict(reversed(list(boxes(data))))  # of two of a name the first counts


def _box(parent: dict[bytes, bytes], name: bytes) -> bytes:
    if name not in parent:
        raise CorruptMedia(f"there is no box {name.decode()} in it")
    return parent[name]


def _primary(meta: dict[bytes, bytes]) -> int:
    fields = _Fields(_box(meta, b"pitm"), full_box=True)
    return fields.take(4 if fields.version else 2)


def _kind(meta: dict[bytes, bytes], item: int) -> bytes:
    fields = _Fields(_box(meta, b"iinf"), full_box=True)
    fields.take(4 if fields.version else 2)
    for _, content in boxes(fields.rest()):
        entry = _Fields(content, full_box=True)
        if entry.take(4 if entry.version == 3 else 2) == item:
            entry.take(2)
            return entry.read(4)
    return b""


def _references(meta: dict[bytes, bytes]) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Kinds of references, and from which item to which."""
    if b"iref" not in meta:
        return
    fields = _Fields(meta[b"iref"], full_box=True)
    size = 4 if fields.version else 2
    for name, content in boxes(fields.rest()):
        reference = _Fields(content)
        source, count = reference.take(size), reference.take(2)
        yield name, source, tuple(reference.take(size) for _ in range(count))


def _content(data: bytes, meta: dict[bytes, bytes], item: int) -> bytes:
    fields = _Fields(_box(meta, b"iloc"), full_box=True)
    sizes = fields.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_size = 4 if fields.version == 2 else 2
    for _ in range(fields.take(id_size)):
        number = fields.take(id_size)
        within = fields.take(2) & 15 if fields.version else 0
        fields.take(2)
        base = fields.take(base_size)
        skipped = index_size if fields.version else 0
        extents = fields.read(fields.take(2) * (skipped + offset_size + length_size))
        if number == item:
            # A grid is described in one piece: of others FFmpeg reads none.
            first = _Fields(extents)
            first.take(skipped)
            start = base + first.take(offset_size)
            source = _box(meta, b"idat") if within == 1 else data
            return source[start : start + first.take(length_size)]
    raise CorruptMedia("the description of its grid is not there")


def _properties(meta: dict[bytes, bytes]) -> dict[int, Properties]:
    """Of each item that has some."""
    parts = _children(_box(meta, b"iprp"))
    known = list(boxes(_box(parts, b"ipco")))
    fields = _Fields(_box(parts, b"ipma"), full_box=True)
    size = 2 if fields.flags & 1 else 1
    found: dict[int, Properties] = {}
    for _ in range(fields.take(4)):
        number = fields.take(4 if fields.version else 2)
        # The first bit says whether readers must know the property.
        places = [fields.take(size) & (1 << 8 * size - 1) - 1 for _ in range(fields.take(1))]
        found.setdefault(number, [known[place - 1] for place in places if 0 < place <= len(known)])
    return found


def _orientation(properties: Properties) -> Orientation:
    found = dict(properties)
    angle = found.get(b"irot", b"\0")[:1]
    mirror = found.get(b"imir")
    turned, top_and_bottom, sides = _TURNS[int.from_bytes(angle, "big") & 3]
    if not mirror:
        return from_exif(turned)
    return from_exif(sides if mirror[0] & 1 else top_and_bottom)


def _colours(properties: Properties) -> tuple[int, int, int] | None:
    for name, content in properties:
        if name == b"colr" and content.startswith(b"nclx"):
            transfer, matrix, full_range = struct.unpack_from(">HHB", content, 6)
            return matrix, _FULL_RANGE if full_range & 0x80 else _LIMITED_RANGE, transfer
    return None
