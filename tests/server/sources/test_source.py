"""What the server reads on a caller's behalf: schemes, and files."""

import asyncio
import os
import socket
from pathlib import Path
from urllib.parse import SplitResult

import pytest

from server.detect.media_bytes import MediaBytes
from server.errors import (
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    Overloaded,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.logs import request_id
from server.sources.fetched import Fetched, Hold, SourceFacts, sha256
from server.sources.files import Files
from server.sources.source import Sources
from tests.urgencies import soon


def fetch(uri: str, roots: list[Path], max_bytes: int = 100, hold: Hold = lambda size: None) -> Fetched:
    sources = Sources(max_bytes, 2, {"file": Files(roots)})
    try:
        return asyncio.run(sources.read(uri, soon(), hold))
    finally:
        sources.close()


def read(uri: str, roots: list[Path], max_bytes: int = 100) -> bytes:
    return fetch(uri, roots, max_bytes).content


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
    assert read((folder / "a b.bin").as_uri(), [folder], max_bytes=len(b"content")) == b"content"


def test_a_file_comes_with_its_hash_and_age(folder: Path) -> None:
    path = folder / "a b.bin"
    facts = fetch(path.as_uri(), [folder]).facts
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
        ("s3://id:secret@media/a.jpg", InvalidRequest),
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


@pytest.mark.parametrize(
    "way",
    [
        "deeper/../../secret.txt",
        "deeper/%2e%2e/%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fhostname",
        "%252e%252e/secret.txt",
        "folder-link/secret.txt",
        "circle",
        "a%20b.bin/x",
        "a%20b.bin%00.jpg",
        "pipe",
        "socket",
        "deeper",
        "null",
    ],
)
def test_nothing_but_a_regular_file_below_the_root(
    folder: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deeper").mkdir()
    (folder / "folder-link").symlink_to(folder.parent)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "null").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        # Relative, because such an address must be short.
        monkeypatch.chdir(folder)
        listening.bind("socket")
        with pytest.raises(SourceNotFound):
            read(f"{folder.as_uri()}/{way}", [folder])


def test_a_link_to_a_file_below_a_root_is_followed(folder: Path) -> None:
    (folder / "alias").symlink_to(folder / "a b.bin")
    assert read(f"{folder.as_uri()}/alias", [folder]) == b"content"


@pytest.mark.parametrize("way", ["file:///proc/self/environ", "file:///dev/zero", "file:///proc/self/fd/0"])
def test_special_files_are_not_read_even_where_everything_may_be(way: str) -> None:
    try:
        assert read(way, [Path("/")]) == b""
    except SourceNotFound:
        return


@pytest.mark.parametrize("place", ["last", "folder"])
def test_a_link_that_is_slipped_in_after_the_check_is_not_followed(
    folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "file").write_bytes(b"content")
    (folder.parent / "file").write_bytes(b"secret")
    checked = Path.is_file

    def then_exchange(path: Path) -> bool:
        answer = checked(path)
        if place == "last":
            (inner / "file").unlink()
            (inner / "file").symlink_to(folder.parent / "secret.txt")
        else:
            inner.rename(folder / "moved")
            inner.symlink_to(folder.parent)
        return answer

    monkeypatch.setattr(Path, "is_file", then_exchange)
    with pytest.raises(SourceUnavailable):
        read(f"{folder.as_uri()}/inner/file", [folder])


def test_a_file_uri_has_no_query(folder: Path) -> None:
    with pytest.raises(InvalidRequest):
        read(f"{folder.as_uri()}/a%20b.bin?x", [folder])


def test_a_file_for_which_there_is_no_room_is_not_read(folder: Path) -> None:
    room = MediaBytes(10)
    with room.hold(5), room.hold() as held, pytest.raises(Overloaded):
        fetch((folder / "a b.bin").as_uri(), [folder], hold=held.add)


def test_names_need_not_be_utf8(folder: Path) -> None:
    path = Path(os.fsdecode(bytes(folder) + b"/caf\xe9.jpg"))
    path.write_bytes(b"content")
    assert read(path.as_uri(), [folder]) == b"content"


def test_a_root_that_is_not_there_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Files([tmp_path, tmp_path / "mistyped"])
    assert caplog.messages == [f"file_roots: there is no folder {tmp_path / 'mistyped'}"]


async def test_what_is_logged_while_reading_carries_the_id_of_the_request() -> None:
    class Telling:
        def read(self, uri: SplitResult, max_bytes: int, deadline: float, hold: Hold) -> Fetched:
            return Fetched(request_id.get().encode(), SourceFacts(""))

    request_id.set("upload-1")
    sources = Sources(100, 1, {"told": Telling()})
    fetched = await sources.read("told://x", soon(), lambda size: None)
    assert fetched.content == b"upload-1"
    sources.close()
