"""s3:// from the client's side, against a real HTTP server."""

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from clients.__main__ import app
from clients.errors import DetectionError
from clients.s3 import S3
from tests.aws import Fault, FaultyProxy, expired_credentials, faulty_proxy, s3_error, use_credentials
from tests.clients.fake_detector import MAX_MEDIA_BYTES, FakeDetector
from tests.clients.records import paths


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four media of which one is broken, a note, and an empty "folder"."""
    use_credentials(monkeypatch)
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("client-media")
    bucket.create()
    for key, body in {
        "in/a b#1.jpg": b"fake",
        "in/deeper/c.mp4": b"real",
        "in/broken.png": b"broken",
        "in/5f3a": b"real",
        "in/notes.txt": b"note",
        "in/": b"",
        "out/d.jpg": b"real",
    }.items():
        bucket.put_object(Key=key, Body=body)
    return bucket


@pytest.fixture
def proxy(endpoint: str, bucket: Any) -> Iterator[FaultyProxy]:
    with faulty_proxy(endpoint) as proxy:
        yield proxy


MEDIA = [
    "s3://client-media/in/5f3a",
    "s3://client-media/in/a%20b%231.jpg",
    "s3://client-media/in/broken.png",
    "s3://client-media/in/deeper/c.mp4",
]


def detect(fake: FakeDetector, endpoint: str, *arguments: str) -> Any:
    command = ["detect", *arguments, "--server", fake.address, "--s3-endpoint", endpoint]
    return CliRunner().invoke(app, command, env={"COLUMNS": "150"})


@pytest.mark.usefixtures("bucket")
def test_a_prefix_is_judged_by_the_server(fake_detector: FakeDetector, endpoint: str, tmp_path: Path) -> None:
    output = tmp_path / "predictions.csv"
    result = detect(fake_detector, endpoint, "s3://client-media/in/", "--output", str(output))
    assert result.exit_code == 0, result.output
    assert sorted(request.media[0].uri for request in fake_detector.requests) == MEDIA
    assert sorted(paths(output)) == MEDIA


@pytest.mark.usefixtures("bucket")
def test_with_read_s3_the_client_sends_the_bytes(
    fake_detector: FakeDetector, endpoint: str, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    result = detect(fake_detector, endpoint, "s3://client-media/in/", "--read-s3", "--output", str(output))
    assert result.exit_code == 1, result.output
    assert "CORRUPT_MEDIA" in result.output
    sent = {request.media[0].name: request.media[0].content for request in fake_detector.requests}
    assert sent == {"5f3a": b"real", "a b#1.jpg": b"fake", "c.mp4": b"real"}
    assert sorted(paths(output)) == MEDIA


@pytest.mark.usefixtures("bucket")
def test_what_s3_refuses_costs_its_own_row(fake_detector: FakeDetector, endpoint: str) -> None:
    uris = ["s3://client-media/in/a%20b%231.jpg", "s3://client-media/gone.jpg", "s3://nobucket/x.jpg"]
    result = detect(fake_detector, endpoint, *uris, "--read-s3")
    assert result.exit_code == 1
    assert "2 FAILED, 1 FAKE" in result.output
    assert result.output.count("SOURCE_NOT_FOUND") == 2


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_cannot_be_costs_its_own_row(fake_detector: FakeDetector, endpoint: str) -> None:
    result = detect(fake_detector, endpoint, "s3://[nobucket/x.jpg", MEDIA[1], "--read-s3")
    assert "1 FAILED, 1 FAKE" in result.output
    assert "SOURCE_UNAVAILABLE" in detect(fake_detector, endpoint, "s3://[nobucket/").output


@pytest.mark.usefixtures("bucket")
def test_a_prefix_without_its_slash_is_told_of_it(fake_detector: FakeDetector, endpoint: str) -> None:
    result = detect(fake_detector, endpoint, "s3://client-media/in", "--read-s3")
    assert result.exit_code == 1
    assert "SOURCE_NOT_FOUND" in result.output
    assert "end it with a slash" in result.output


@pytest.mark.usefixtures("bucket")
def test_a_bucket_is_a_prefix(fake_detector: FakeDetector, endpoint: str) -> None:
    result = detect(fake_detector, endpoint, "s3://client-media")
    assert result.exit_code == 0, result.output
    judged = {request.media[0].uri for request in fake_detector.requests}
    assert judged == {*MEDIA, "s3://client-media/out/d.jpg"}


def test_a_prefix_that_cannot_be_listed_is_one_error(fake_detector: FakeDetector, proxy: FaultyProxy) -> None:
    proxy.faults = [s3_error(403, "AccessDenied")]
    result = detect(fake_detector, proxy.url, "s3://client-media/in/")
    assert result.exit_code == 1
    assert "SOURCE_DENIED" in result.output
    assert "aws-check" in result.output


def test_explicit_keys_are_used_and_never_shown(
    fake_detector: FakeDetector,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = ["--s3-access-key", "AKIAEXPLICIT", "--s3-secret-key", "very-secret"]
    with caplog.at_level(logging.DEBUG, "clients"):
        result = detect(fake_detector, proxy.url, "s3://client-media/in/", "--read-s3", *keys)
    assert "CORRUPT_MEDIA" in result.output
    assert all("AKIAEXPLICIT/" in headers["Authorization"] for _, _, headers in proxy.requests)
    assert "very-secret" not in result.output + caplog.text + repr(S3(secret_key="very-secret"))


@pytest.mark.parametrize("half", ["--s3-access-key", "--s3-secret-key"])
def test_half_of_the_explicit_keys_is_a_wrong_command(
    fake_detector: FakeDetector, proxy: FaultyProxy, half: str
) -> None:
    result = detect(fake_detector, proxy.url, "s3://client-media/in/", half, "AKIAEXPLICIT")
    assert result.exit_code == 2
    assert "one needs the other" in result.output
    assert proxy.requests == []


@pytest.mark.parametrize("fault", [Fault(cut_after=10), Fault(no_length=True)])
def test_an_object_that_the_server_would_refuse_is_not_read(
    fake_detector: FakeDetector, proxy: FaultyProxy, bucket: Any, fault: Fault
) -> None:
    bucket.put_object(Key="large.mp4", Body=bytes(MAX_MEDIA_BYTES + 1))
    proxy.faults = [fault]  # the first fails whoever goes on reading
    result = detect(fake_detector, proxy.url, "s3://client-media/large.mp4", "--read-s3")
    assert "MEDIA_LIMIT_EXCEEDED" in result.output
    assert fake_detector.requests == []


def test_an_object_need_not_say_its_length(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(no_length=True)]
    assert S3(endpoint=proxy.url).read(MEDIA[0], 4).content == b"real"


def test_an_object_that_is_cut_is_unavailable(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(cut_after=2)]
    with pytest.raises(DetectionError, match="SOURCE_UNAVAILABLE"):
        S3(endpoint=proxy.url).read(MEDIA[0], 4)


@pytest.mark.usefixtures("bucket")
def test_credentials_that_have_expired_when_they_come_are_denied(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = S3(endpoint=endpoint)
    with expired_credentials(monkeypatch):
        for use in (lambda: s3.read(MEDIA[0], 100), lambda: list(s3.find("s3://client-media/in/"))):
            with pytest.raises(DetectionError, match="SOURCE_DENIED"):
                use()


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("flags", [[], ["--read-s3"]])
def test_a_uri_that_is_not_utf8_costs_its_own_row(
    fake_detector: FakeDetector, endpoint: str, flags: list[str]
) -> None:
    result = detect(fake_detector, endpoint, "s3://client-media/caf\udce9.jpg", *MEDIA[:1], *flags)
    assert "a URI is UTF-8" in result.output
    assert "1 FAILED, 1 " in result.output


@pytest.mark.usefixtures("bucket")
def test_what_listed_a_bucket_can_be_sent_to_another_process(endpoint: str) -> None:
    s3 = S3(endpoint=endpoint)
    assert list(s3.find("s3://client-media/in/"))
    elsewhere = pickle.loads(pickle.dumps(s3))
    assert list(elsewhere.find("s3://client-media/out/")) == ["s3://client-media/out/d.jpg"]


@pytest.mark.usefixtures("bucket")
def test_the_version_that_a_uri_names_is_read(endpoint: str, bucket: Any) -> None:
    bucket.Versioning().enable()
    first = bucket.put_object(Key="v.jpg", Body=b"one").version_id
    bucket.put_object(Key="v.jpg", Body=b"two")
    s3 = S3(endpoint=endpoint)
    uri = f"s3://{bucket.name}/v.jpg"
    assert s3.read(f"{uri}?versionId={first}", 100).content == b"one"
    assert s3.read(uri, 100).content == b"two"


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (404, "NoSuchVersion", "SOURCE_NOT_FOUND"),
        (403, "RequestTimeTooSkewed", "SOURCE_DENIED"),
        (400, "InvalidToken", "SOURCE_DENIED"),
        (405, "MethodNotAllowed", "SOURCE_UNAVAILABLE"),
    ],
)
def test_what_s3_says_has_the_servers_code(proxy: FaultyProxy, status: int, said: str, code: str) -> None:
    proxy.faults = [s3_error(status, said)]
    with pytest.raises(DetectionError, match=said) as caught:
        S3(endpoint=proxy.url).read(MEDIA[0], 100)
    assert caught.value.code == code


def test_a_store_that_redirects_all_requests_is_unavailable(proxy: FaultyProxy) -> None:
    moved = Fault(301, "<html>elsewhere</html>", {"Location": "https://example.org/"})
    s3 = S3(endpoint=proxy.url)
    for use in (lambda: s3.read(MEDIA[0], 100), lambda: list(s3.find("s3://client-media/in/"))):
        proxy.faults = [moved] * 200
        with pytest.raises(DetectionError, match="SOURCE_UNAVAILABLE"):
            use()
    assert len(proxy.requests) < 10


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("uri", ["s3://client-media/in/a b#1.jpg", "s3://client-media/in/5f3a?x=1"])
def test_a_uri_that_would_mean_another_object_is_refused(endpoint: str, uri: str) -> None:
    with pytest.raises(DetectionError, match="%3F"):
        S3(endpoint=endpoint).read(uri, 100)
    with pytest.raises(DetectionError, match="%3F"):
        list(S3(endpoint=endpoint).find(uri + "/"))


def test_an_endpoint_that_is_no_url_is_told(fake_detector: FakeDetector) -> None:
    result = detect(fake_detector, "localhost:9000", "s3://client-media/in/")
    assert result.exit_code == 1
    assert "--s3-endpoint is a URL" in result.output
    checked = CliRunner().invoke(app, ["aws-check", "--s3-endpoint", "localhost:9000", "s3://b/"])
    assert checked.exit_code == 1
    assert "Traceback" not in checked.output
