"""What the server reads on a caller's behalf: schemes, and files."""

import asyncio
import time
from pathlib import Path

import pytest

from server.errors import (
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    SourceNotAllowed,
    SourceNotFound,
)
from server.sources.fetched import sha256
from server.sources.files import Files
from server.sources.source import Sources


def read(uri: str, roots: list[Path], max_bytes: int = 100) -> bytes:
    sources = Sources(max_bytes, 2, {"file": Files(roots)})
    try:
        return asyncio.run(sources.read(uri, time.monotonic() + 10)).content
    finally:
        sources.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """media/ may be read; secret.txt beside it may not."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    media = tmp_path / "media"
    media.mkdir()
    (media / "a b.bin").write_bytes(b"content")
    (media / "link").symlink_to(tmp_path / "secret.txt")
    return media


def test_a_file_below_a_root(folder: Path) -> None:
    assert read((folder / "a b.bin").as_uri(), [folder]) == b"content"


def test_a_file_comes_with_its_hash_and_age(folder: Path) -> None:
    path = folder / "a b.bin"
    sources = Sources(100, 2, {"file": Files([folder])})
    facts = asyncio.run(sources.read(path.as_uri(), time.monotonic() + 10)).facts
    assert facts.sha256 == sha256(b"content")
    assert facts.last_modified is not None
    assert facts.last_modified.timestamp() == pytest.approx(path.stat().st_mtime)


@pytest.mark.parametrize("way", ["../secret.txt", "link", "nothing", ".", "%2e%2e/secret.txt"])
def test_no_way_leads_out_of_the_root_and_no_answer_tells_what_is_outside(folder: Path, way: str) -> None:
    with pytest.raises(SourceNotFound):
        read(f"{folder.as_uri()}/{way}", [folder])


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("file:///etc/hostname", SourceNotAllowed),
        ("gopher://example.org/a.jpg", SourceNotAllowed),
        ("photo.jpg", SourceNotAllowed),
        ("http://[bad", InvalidRequest),
    ],
)
def test_nothing_is_read_by_default(uri: str, error: type[DetectorError]) -> None:
    with pytest.raises(error):
        read(uri, [])


def test_a_file_on_another_host_is_refused(folder: Path) -> None:
    with pytest.raises(SourceNotAllowed):
        read("file://elsewhere/media/a", [folder])


def test_a_large_file_is_refused_before_it_is_read(folder: Path) -> None:
    with pytest.raises(MediaLimitExceeded):
        read((folder / "a b.bin").as_uri(), [folder], max_bytes=3)
