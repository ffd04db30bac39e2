"""AVIF and HEIC files of one picture or a grid of tiles (ISO/IEC 23008-12)."""

import struct
from collections.abc import Sequence

from tests.media import Picture, encode_picture, encode_video
from tests.server.media.boxes import box, span


def avif(
    pictures: Sequence[Picture],
    columns: int,
    size: tuple[int, int],
    *properties: bytes,
    wide: bool = False,
) -> bytes:
    """Pictures of equal size, row by row; see `_file`."""
    files = [encode_picture(picture, "AVIF", quality=100, subsampling="4:4:4") for picture in pictures]
    coded = [_whole_box(file, b"mdat")[8:] for file in files]
    kept = _whole_box(files[0], b"colr") if not properties else b""
    described = [_extent(pictures[0]), _whole_box(files[0], b"av1C")]
    return _file(b"avif", b"av01", described, coded, columns, size, properties or (kept,), wide)


def heic(
    pictures: Sequence[Picture],
    columns: int,
    size: tuple[int, int],
    *properties: bytes,
    transfer: str = "unknown",
) -> bytes:
    """Pictures of equal size, row by row, that state their transfer themselves; see `_file`."""
    options = {"x265-params": f"log-level=none:keyint=1:transfer={transfer}", "crf": "4"}
    movies = [encode_video([picture], "mp4", "libx265", options=options) for picture in pictures]
    coded = [_whole_box(movie, b"mdat")[8:] for movie in movies]
    described = [_extent(pictures[0]), _whole_box(movies[0], b"hvcC")]
    return _file(b"heic", b"hvc1", described, coded, columns, size, properties)


def _extent(picture: Picture) -> bytes:
    height, width, _ = picture.shape
    return box(b"ispe", struct.pack(">III", 0, width, height))


def _file(
    brand: bytes,
    name: bytes,
    described: Sequence[bytes],
    coded: Sequence[bytes],
    columns: int,
    size: tuple[int, int],
    properties: Sequence[bytes],
    wide: bool = False,
) -> bytes:
    """One item is the picture; of several, a grid is, which is the last item.

    Args:
        described: boxes that belong to each tile.
        size: width and height of the whole.
        properties: boxes that belong to the whole, and that readers must know.
        wide: whether numbers have the larger of the two sizes that FFmpeg reads; all is described at the end.
    """
    number_of = "I" if wide else "H"

    def association(place: int) -> bytes:
        return struct.pack(">H", place & 0x7F | (place & 0x80) << 8) if wide else bytes([place])

    count = len(coded)
    tiles = range(1, count + 1)
    items = [(number, name) for number in tiles] + ([(count + 1, b"grid")] if count > 1 else [])
    primary = items[-1][0]
    shape = (count // columns - 1, columns - 1)
    grid = struct.pack(f">BBBB2{number_of}", 0, wide, *shape, *size)
    entries = [box(b"infe", struct.pack(">IHH4sB", 2 << 24, number, 0, kind, 0)) for number, kind in items]
    whole = [box(b"ispe", struct.pack(">III", 0, *size)), *properties]
    used = {number: [1, 0x82] for number in tiles}
    used[primary] = (
        used.get(primary, []) + [3, *(0x84 + place for place in range(len(properties)))][count == 1 :]
    )
    associations = [
        struct.pack(f">{number_of}B", item, len(places)) + b"".join(map(association, places))
        for item, places in used.items()
    ]
    parts = struct.pack(f">{number_of}H{count}{number_of}", primary, count, *tiles)

    def meta(start: int) -> bytes:
        places = []
        for number, part in zip(tiles, coded, strict=True):
            places.append(struct.pack(f">{number_of}HHHII", number, 0, 0, 1, start, len(part)))
            start += len(part)
        places += [
            struct.pack(f">{number_of}HHHII", number, 1, 0, 1, 0, len(grid)) for number, _ in items[count:]
        ]
        boxes = [
            box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            box(b"pitm", struct.pack(f">I{number_of}", wide << 24, primary)),
            box(
                b"iloc",
                struct.pack(f">IBB{number_of}", (1 + wide) << 24, 0x44, 0, len(items)) + b"".join(places),
            ),
            box(b"iinf", struct.pack(f">I{number_of}", wide << 24, len(items)) + b"".join(entries)),
            box(b"iref", struct.pack(">I", wide << 24) + box(b"dimg", parts)) if count > 1 else b"",
            box(
                b"iprp",
                box(b"ipco", b"".join([*described, *whole]))
                + box(b"ipma", struct.pack(">II", wide << 24 | wide, len(used)) + b"".join(associations)),
            ),
            box(b"idat", grid),
        ]
        return box(b"meta", bytes(4) + b"".join(boxes))

    head = box(b"ftyp", brand + bytes(4) + brand + b"mif1")
    content = b"".join(coded)
    before = struct.pack(">I4s", 1 if wide else 8 + len(content), b"mdat")
    before += struct.pack(">Q", 16 + len(content)) if wide else b""
    if wide:
        return head + before + content + meta(len(head) + len(before))
    return head + meta(len(head) + len(meta(0)) + len(before)) + before + content


def _whole_box(data: bytes, name: bytes) -> bytes:
    start, end = span(data, name)
    return data[start:end]
