"""s3:// against a real HTTP server, healthy and faulty."""

import json
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from server.aws import Aws
from server.errors import (
    DeadlineExceeded,
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    SourceDenied,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.sources.fetched import Fetched, Hold, sha256
from server.sources.s3 import S3
from tests.aws import Fault, FaultyProxy, expired_credentials, faulty_proxy, s3_error, use_credentials

CONTENT = bytes(range(256)) * 4096
FAST = Aws(max_attempts=3, connect_timeout=2, read_timeout=2)


@pytest.fixture(autouse=True)
def _leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    use_credentials(monkeypatch)
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("media")
    bucket.create()
    bucket.put_object(Key="folder/a b.jpg", Body=CONTENT, ContentType="image/jpeg")
    return bucket


@pytest.fixture
def proxy(endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    # Without the pauses of retries; whether there are any is botocore's business.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with faulty_proxy(endpoint) as proxy:
        yield proxy


def read(
    endpoint: str,
    uri: str = "s3://media/folder/a%20b.jpg",
    aws: Aws = FAST,
    max_bytes: int = len(CONTENT),
    seconds: float = 30.0,
    hold: Hold = lambda size: None,
) -> Fetched:
    source = S3(["media", "gone"], aws, endpoint)
    return source.read(urlsplit(uri), max_bytes, time.monotonic() + seconds, hold)


def test_an_object_comes_whole_and_with_what_s3_says_of_it(endpoint: str, bucket: Any) -> None:
    fetched = read(endpoint)
    assert fetched.content == CONTENT
    assert fetched.facts.sha256 == sha256(CONTENT)
    assert fetched.facts.etag == bucket.Object("folder/a b.jpg").e_tag.strip('"')
    assert fetched.facts.content_type == "image/jpeg"
    assert fetched.facts.last_modified == bucket.Object("folder/a b.jpg").last_modified


def test_a_certain_version_can_be_named(endpoint: str, bucket: Any) -> None:
    bucket.Versioning().enable()
    first = bucket.put_object(Key="versioned", Body=b"first").version_id
    bucket.put_object(Key="versioned", Body=b"second")
    assert read(endpoint, f"s3://media/versioned?versionId={first}").content == b"first"
    assert read(endpoint, "s3://media/versioned").content == b"second"
    with pytest.raises(SourceNotFound):
        read(endpoint, "s3://media/versioned?versionId=00000000-0000-0000-0000-000000000000")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("s3://media/nothing", SourceNotFound),
        ("s3://gone/key", SourceNotFound),
        ("s3://other/key", SourceNotAllowed),
        ("s3://media/", InvalidRequest),
        ("s3://media/why?.jpg", InvalidRequest),
        ("s3://media/a#1.jpg", InvalidRequest),
    ],
)
def test_what_cannot_be_read_says_why(endpoint: str, uri: str, error: type[DetectorError]) -> None:
    with pytest.raises(error):
        read(endpoint, uri)


def test_a_store_that_redirects_all_requests_is_unavailable(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(301, "<html>elsewhere</html>", {"Location": "https://example.org/"})] * 200
    with pytest.raises(SourceUnavailable, match="AWS answered 301 "):
        read(proxy.url)
    assert len(proxy.requests) < 10


def test_a_large_object_is_refused_before_its_content_is_read(proxy: FaultyProxy) -> None:
    with pytest.raises(MediaLimitExceeded, match=str(len(CONTENT))):
        read(proxy.url, max_bytes=len(CONTENT) - 1)


def test_an_object_that_does_not_say_its_length_is_cut(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(no_length=True)]
    assert read(proxy.url).content == CONTENT
    proxy.faults = [Fault(no_length=True)]
    with pytest.raises(MediaLimitExceeded):
        read(proxy.url, max_bytes=len(CONTENT) - 1)


def test_a_busy_store_is_asked_again(proxy: FaultyProxy) -> None:
    proxy.faults = [s3_error(503, "SlowDown"), s3_error(500, "InternalError")]
    assert read(proxy.url).content == CONTENT
    assert len(proxy.requests) == 3


def test_a_store_that_stays_busy_is_unavailable(proxy: FaultyProxy) -> None:
    proxy.faults = [s3_error(503, "SlowDown")] * 9
    with pytest.raises(SourceUnavailable, match="SlowDown"):
        read(proxy.url)
    assert len(proxy.requests) == FAST.max_attempts


def test_what_is_cut_is_continued_where_it_was_cut(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(cut_after=300_000), Fault(cut_after=100_000)]
    assert read(proxy.url).content == CONTENT
    ranges = [headers.get("Range") for _, _, headers in proxy.requests]
    assert ranges == [None, "bytes=300000-", "bytes=400000-"]


def test_a_store_that_knows_no_ranges_gives_the_whole_again(proxy: FaultyProxy) -> None:
    whole = Fault(200, "whole", {"ETag": '"of-the-whole"'})
    proxy.faults = [Fault(cut_after=300_000), whole]
    held: list[int] = []
    fetched = read(proxy.url, hold=held.append)
    assert fetched.content == b"whole"
    assert fetched.facts.etag == "of-the-whole"
    assert sum(held) == len(fetched.content)


def test_a_store_need_not_give_etags(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(200, "whole")]
    assert read(proxy.url).facts.etag == ""


def test_what_has_no_etag_is_not_continued(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(200, "whole", cut_after=3)]
    with pytest.raises(SourceUnavailable):
        read(proxy.url)
    assert len(proxy.requests) == 1


def test_what_is_always_cut_is_unavailable(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault(cut_after=10)] * 9
    with pytest.raises(SourceUnavailable):
        read(proxy.url)
    assert len(proxy.requests) == FAST.max_attempts


def test_an_object_that_is_replaced_meanwhile_is_not_patched_together(
    proxy: FaultyProxy, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults = [Fault(cut_after=300_000)]
    replace = lambda _: bucket.put_object(Key="folder/a b.jpg", Body=CONTENT[::-1])  # noqa: E731
    monkeypatch.setattr(time, "sleep", replace)
    with pytest.raises(SourceUnavailable, match="replaced"):
        read(proxy.url)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (s3_error(403, "AccessDenied"), "denies"),
        (s3_error(400, "ExpiredToken"), "ExpiredToken"),
        (s3_error(403, "InvalidAccessKeyId"), "InvalidAccessKeyId"),
        (s3_error(403, "SignatureDoesNotMatch"), "SignatureDoesNotMatch"),
    ],
)
def test_refused_credentials_are_denied_at_once(proxy: FaultyProxy, fault: Fault, said: str) -> None:
    proxy.faults = [fault]
    with pytest.raises(SourceDenied, match=said):
        read(proxy.url)
    assert len(proxy.requests) == 1


def test_credentials_that_have_expired_when_they_come_are_denied(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with expired_credentials(monkeypatch), pytest.raises(SourceDenied, match="credentials"):
        read(proxy.url)


def test_without_credentials_it_is_denied(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for aws in (FAST, Aws(role_arn="arn:aws:iam::123456789012:role/reader"), Aws(profile="nobody")):
        with pytest.raises(SourceDenied) as caught:
            read(proxy.url, aws=aws)
        assert "aws-check" in caught.value.hint
    assert proxy.requests == []


@pytest.mark.usefixtures("proxy")
def test_nobody_at_the_endpoint_is_unavailable_and_not_named_to_the_caller() -> None:
    with pytest.raises(SourceUnavailable) as caught:
        read("http://127.0.0.1:9")
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.usefixtures("bucket")
def test_a_store_that_says_nothing_is_left_after_the_time_for_reading() -> None:
    start, aws = time.monotonic(), Aws(max_attempts=1, connect_timeout=60, read_timeout=0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailable, match="ReadTimeout"):
            read(url, aws=aws)
    assert time.monotonic() - start < 30


def test_a_bucket_of_another_region_is_followed(proxy: FaultyProxy) -> None:
    elsewhere = Fault(
        301,
        "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>",
        {"x-amz-bucket-region": "eu-central-1"},
    )
    proxy.faults = [elsewhere]
    assert read(proxy.url).content == CONTENT
    assert "/eu-central-1/s3/" in proxy.requests[-1][2]["Authorization"]


def test_the_deadline_ends_the_reading(proxy: FaultyProxy) -> None:
    with pytest.raises(DeadlineExceeded):
        read(proxy.url, seconds=0)


def test_a_profile_and_its_region_are_used(
    proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile reader]\naws_access_key_id = AKIAREADER\naws_secret_access_key = x\nregion = eu-west-3\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert read(proxy.url, aws=Aws(profile="reader")).content == CONTENT
    assert "AKIAREADER/" in proxy.requests[-1][2]["Authorization"]
    assert "/eu-west-3/" in proxy.requests[-1][2]["Authorization"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    proxy.requests.clear()
    read(proxy.url, aws=Aws(profile="reader", role_arn="arn:aws:iam::123456789012:role/reader"))
    assert "AKIAREADER/" in proxy.requests[0][2]["Authorization"]


def test_a_role_is_assumed_with_the_credentials_there_are(
    proxy: FaultyProxy, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = boto3.client("iam", endpoint_url=endpoint)
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    assert read(proxy.url, aws=Aws(role_arn=role["Role"]["Arn"], region="eu-west-3")).content == CONTENT
    (to_sts, to_s3) = (headers for _, _, headers in proxy.requests)
    assert "/eu-west-3/sts/" in to_sts["Authorization"]
    assert "/eu-west-3/s3/" in to_s3["Authorization"]
    assert "testing/" in to_sts["Authorization"]
    assert "testing/" not in to_s3["Authorization"]
    assert to_s3["X-Amz-Security-Token"]


def test_a_roles_credentials_are_renewed_before_they_expire(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    keys = (
        "<AccessKeyId>ROLE{}</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>t</SessionToken>"
    )
    role = (
        f"<AssumeRoleResponse><AssumeRoleResult><Credentials>{keys}<Expiration>{soon}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    source = S3(["media"], Aws(role_arn="arn:aws:iam::123456789012:role/reader"), proxy.url)
    for number in range(2):
        proxy.faults = [Fault(200, role.format(number))]
        uri = urlsplit("s3://media/folder/a%20b.jpg")
        source.read(uri, len(CONTENT), time.monotonic() + 30, lambda size: None)
        assert f"ROLE{number}/" in proxy.requests[-1][2]["Authorization"]


def test_a_roles_credentials_are_asked_for_no_more_often_than_what_they_are_for(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    proxy.faults = [Fault(503)] * 5
    with pytest.raises(SourceUnavailable):
        read(proxy.url, aws=Aws(role_arn="arn:aws:iam::123456789012:role/reader", max_attempts=2))
    assert len(proxy.requests) == 2
