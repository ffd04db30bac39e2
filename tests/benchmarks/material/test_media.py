from pathlib import Path

import pytest

from benchmarks.material.media import generated_media, generated_photos, media_in, photo_jpeg
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, RowSpec


@pytest.fixture(scope="module")
def media() -> dict[str, list[bytes]]:
    return generated_media(2)


def test_every_kind_is_what_it_says_and_can_be_decoded(media: dict[str, list[bytes]]) -> None:
    for kind, files in media.items():
        for file in files:
            rows = decode(file, RowSpec(), MediaLimits())
            assert rows.facts.kind is MediaKind(kind)
            if kind == "image":
                assert 1_000_000 <= rows.facts.width * rows.facts.height <= 2_000_000
            if kind != "image":
                assert len(rows.audio) > 0


def test_they_are_the_same_every_time(media: dict[str, list[bytes]]) -> None:
    photo_jpeg.cache_clear()
    assert generated_photos(1) == media["image"][:1]
    assert media["image"][0] != media["image"][1]


def test_media_of_a_folder_are_sorted_by_kind(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("a.JPG", "b.mp4", "deeper/c.wav", "deeper/d.png", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert media_in(tmp_path) == {
        "image": [b"a.JPG", b"deeper/d.png"],
        "video": [b"b.mp4"],
        "audio": [b"deeper/c.wav"],
    }


def test_a_folder_without_media_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no media"):
        media_in(tmp_path)
