"""What the server reads on a caller's behalf: from a real file system, and a real S3 server (moto)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from server.errors import (
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.sources.source import Sources


def read(sources: Sources, uri: str) -> bytes:
    return asyncio.run(sources.read(uri))


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
    assert read(Sources(100, [folder]), (folder / "a b.bin").as_uri()) == b"content"


@pytest.mark.parametrize("way", ["../secret.txt", "link", "nothing", ".", "%2e%2e/secret.txt"])
def test_no_way_leads_out_of_the_root_and_no_answer_tells_what_is_outside(folder: Path, way: str) -> None:
    with pytest.raises(SourceNotFound):
        read(Sources(100, [folder]), f"{folder.as_uri()}/{way}")


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("file:///etc/hostname", SourceNotAllowed),
        ("s3://bucket/key", SourceNotAllowed),
        ("https://example.org/a.jpg", SourceNotAllowed),
        ("photo.jpg", SourceNotAllowed),
        ("http://[bad", InvalidRequest),
    ],
)
def test_nothing_is_read_by_default(uri: str, error: type[DetectorError]) -> None:
    with pytest.raises(error):
        read(Sources(100), uri)


def test_a_file_on_another_host_is_refused(folder: Path) -> None:
    with pytest.raises(SourceNotAllowed):
        read(Sources(100, [folder]), "file://elsewhere/media/a")


def test_a_large_file_is_refused_before_it_is_read(folder: Path) -> None:
    with pytest.raises(MediaLimitExceeded):
        read(Sources(3, [folder]), (folder / "a b.bin").as_uri())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("media")
    bucket.create()
    return bucket


def test_an_object_of_an_allowed_bucket(bucket: Any, endpoint: str) -> None:
    bucket.put_object(Key="folder/a b.jpg", Body=b"content")
    sources = Sources(100, s3_buckets=["media"], s3_endpoint=endpoint)
    assert read(sources, "s3://media/folder/a%20b.jpg") == b"content"


def test_objects_that_are_missing_too_large_or_elsewhere(bucket: Any, endpoint: str) -> None:
    bucket.put_object(Key="large", Body=b"x" * 101)
    sources = Sources(100, s3_buckets=["media", "gone"], s3_endpoint=endpoint)
    for uri, error in {
        "s3://media/nothing": SourceNotFound,
        "s3://gone/key": SourceNotFound,
        "s3://media/large": MediaLimitExceeded,
        "s3://other/key": SourceNotAllowed,
    }.items():
        with pytest.raises(error):
            read(sources, uri)


@pytest.mark.usefixtures("bucket")
def test_a_store_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    sources = Sources(100, s3_buckets=["media"], s3_endpoint="http://127.0.0.1:9")
    with pytest.raises(SourceUnavailable):
        read(sources, "s3://media/key")
