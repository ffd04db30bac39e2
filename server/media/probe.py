"""What the bytes are, told from the bytes alone: the allow-list of formats and codecs.

The demuxer is chosen here and forced on FFmpeg, which therefore never guesses: a playlist, a
concat script or a session description has no entry, so nothing can make it open another file.
"""

from dataclasses import dataclass

from server.errors import CorruptMedia, UnsupportedMedia
from server.media.types import MediaKind


@dataclass(frozen=True, slots=True)
class Format:
    """A format that we read.

    Attributes:
        name: FFmpeg's demuxer; for stills its decoder.
        kind: what it holds; None if only its streams can tell video from sound.
        still: a picture whose bytes go to the decoder as they are, without a demuxer.
    """

    name: str
    kind: MediaKind | None = None
    still: bool = False


_MOV_NAMES = "mov,mp4,m4a,3gp,3g2,mj2"

JPEG = Format("mjpeg", MediaKind.IMAGE, still=True)
PNG = Format("png", MediaKind.IMAGE, still=True)
WEBP = Format("webp", MediaKind.IMAGE, still=True)
BMP = Format("bmp", MediaKind.IMAGE, still=True)
TIFF = Format("tiff", MediaKind.IMAGE, still=True)
HEIF = Format(_MOV_NAMES, MediaKind.IMAGE)
GIF = Format("gif")
APNG = Format("apng")
AVI = Format("avi")
ASF = Format("asf")
MOV = Format(_MOV_NAMES)
MATROSKA = Format("matroska,webm")

VIDEO_CODECS = (
    frozenset(("h264", "hevc", "av1", "vp8", "vp9", "theora", "mjpeg", "png", "apng"))
    | frozenset(("gif", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "h263", "flv1"))
    | frozenset(("wmv1", "wmv2", "wmv3", "vc1", "prores", "dvvideo", "ffv1", "huffyuv", "rawvideo"))
)
STILL_CODECS = frozenset(("av1", "hevc"))
AUDIO_CODECS = (
    frozenset(("aac", "mp3", "mp2", "mp1", "ac3", "eac3", "flac", "alac", "opus", "vorbis", "speex"))
    | frozenset(("wmav1", "wmav2", "amr_nb", "amr_wb", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt"))
    | frozenset(("pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le"))
    | frozenset(("pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le"))
    | frozenset(("pcm_f64be", "pcm_dvd", "pcm_bluray"))
)

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"BM", BMP),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"\0\0\x01\xba", Format("mpeg")),
    (b"\0\0\x01\xb3", Format("mpegvideo")),
    (b"FLV\x01", Format("flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
    (b"OggS", Format("ogg")),
    (b"fLaC", Format("flac", MediaKind.AUDIO)),
    (b"#!AMR", Format("amr", MediaKind.AUDIO)),
    (b".snd", Format("au", MediaKind.AUDIO)),
    (b"caff", Format("caf", MediaKind.AUDIO)),
    (b"riff\x2e\x91\xcf\x11", Format("w64", MediaKind.AUDIO)),
)
_RIFF = {
    b"WEBP": WEBP,
    b"AVI ": AVI,
    b"WAVE": Format("wav", MediaKind.AUDIO),
}
_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"wide", b"free", b"skip", b"pnot"})
_STILL_BRANDS = frozenset({b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1"})
_LONGEST_BRANDS = 4096
_SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"msf1"})
_MP3 = Format("mp3", MediaKind.AUDIO)
_ADTS = Format("aac", MediaKind.AUDIO)

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML or SVG"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a concat script"),
    (b"v=0", "a session description"),
)


def identify(data: bytes) -> Format:
    """Names the format of a file from its first bytes.

    Raises:
        CorruptMedia: there are no bytes.
        UnsupportedMedia: the format is not one that we read.
    """
    if not data:
        raise CorruptMedia("the file is empty")
    found = _by_magic(data) or _by_structure(data)
    if found is None:
        raise UnsupportedMedia(f"this is {_describe(data)}, which is not read here")
    return found


def _by_magic(data: bytes) -> Format | None:
    if data[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return Format("aiff", MediaKind.AUDIO)
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    found = next((known for magic, known in _MAGIC if data.startswith(magic)), None)
    return APNG if found is PNG and _is_animated(data) else found


def _is_animated(data: bytes) -> bool:
    """Whether a PNG says so before its pixels, behind which viewers do not look for it, and has a frame."""
    position, name = 8, data[12:16]
    while name not in (b"IDAT", b"acTL", b""):
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
    return name == b"acTL" and b"fcTL" in data


def _by_brand(data: bytes) -> Format:
    major, size = data[8:12], int.from_bytes(data[:4], "big")
    if major in _SEQUENCE_BRANDS:
        raise UnsupportedMedia("this is an image sequence (animated AVIF or HEIC), which is not read here")
    # Browsers show the picture of a file that is compatible with one, whatever it is first of all.
    brands = {major, *(data[place : place + 4] for place in range(16, min(size, _LONGEST_BRANDS), 4))}
    return HEIF if brands & _STILL_BRANDS else MOV


def _by_structure(data: bytes) -> Format | None:
    if data[4:8] in _ISO_BOXES:
        return MOV
    if _repeats_sync(data, 0, 188) or _repeats_sync(data, 4, 192):
        return Format("mpegts")
    return _by_frame_header(data[_id3_size(data) :][:4])


def _repeats_sync(data: bytes, start: int, packet: int) -> bool:
    positions = range(start, min(len(data), start + 5 * packet), packet)
    return len(positions) >= 2 and all(data[position] == 0x47 for position in positions)


def _id3_size(data: bytes) -> int:
    """Bytes of the tags that a file begins with; some programs add one before the other."""
    size = 0
    while data[size : size + 3] == b"ID3" and len(data) >= size + 10:
        length = 0
        for seven_bits in data[size + 6 : size + 10]:
            length = length << 7 | seven_bits & 0x7F
        size += length + 10
    return size


def _by_frame_header(header: bytes) -> Format | None:
    if header == b"fLaC":
        return Format("flac", MediaKind.AUDIO)
    if len(header) < 4 or header[0] != 0xFF:
        return None
    if header[1] & 0xF6 == 0xF0:
        return _ADTS
    version, layer, bit_rate = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 4
    if header[1] & 0xE0 == 0xE0 and version != 1 and layer != 0 and bit_rate != 15:
        return _MP3
    return None


def _describe(data: bytes) -> str:
    text = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _REFUSED:
        if data.startswith(magic) or text.startswith(magic):
            return name
    return f"an unknown format (it starts with {data[:8].hex(' ')})"
