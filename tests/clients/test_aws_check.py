"""`python -m clients aws-check` against a real HTTP server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner, Result

from clients.__main__ import app
from tests.aws import Fault, FaultyProxy, expired_credentials, faulty_proxy, s3_error, use_credentials

STS_REFUSES = Fault(
    403,
    "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>",
)


@pytest.fixture
def proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """All of AWS, with a bucket "checked"."""
    use_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0123456789EXAMPLE")
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("checked")
    bucket.create()
    bucket.put_object(Key="in/a b.jpg", Body=b"photo")
    with faulty_proxy(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["aws-check", *arguments], env={"COLUMNS": "200"})


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("uri", ["s3://checked", "s3://checked/in/", "s3://checked/in/a%20b.jpg"])
def test_when_all_is_well_it_says_who_may_do_what(uri: str) -> None:
    result = check(uri)
    assert result.exit_code == 0, result.output
    for text in (
        "the environment",
        "AKIA…MPLE",
        "us-east-1",
        "123456789012",
        "can be listed",
        "a%20b.jpg can be read",
    ):
        assert text in result.output
    assert "0123456789EXAMPLE" not in result.output
    assert "testing" not in result.output


def test_without_credentials_it_says_how_to_get_some(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    result = check("s3://checked")
    assert result.exit_code == 1
    assert "none found" in result.output
    assert "aws sso login" in result.output
    assert proxy.requests == []


@pytest.mark.usefixtures("proxy")
def test_credentials_that_have_expired_when_they_come_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with expired_credentials(monkeypatch):
        result = check("s3://checked")
    assert result.exit_code == 1
    assert "still expired" in result.output


@pytest.mark.usefixtures("proxy")
def test_profiles_are_found_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile reader]\naws_access_key_id = AKIAREADER\naws_secret_access_key = x\nregion = eu-west-3\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    result = check("--s3-profile", "reader")
    assert result.exit_code == 0, result.output
    assert "the shared config file: key AKIA…ADER" in result.output
    assert "eu-west-3" in result.output
    result = check("--s3-profile", "nobody")
    assert result.exit_code == 1
    assert "nobody" in result.output


def test_explicit_keys_and_another_store(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    keys = ["--s3-access-key", "EXPLICITKEY", "--s3-secret-key", "very-secret", "--s3-endpoint", proxy.url]
    result = check("s3://checked/in/", *keys)
    assert result.exit_code == 0, result.output
    assert "the command line: key EXPL…TKEY" in result.output
    assert "the store is not AWS" in result.output
    assert "very-secret" not in result.output


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([STS_REFUSES], ["FAILED  identity", "does not know this key id"]),
        ([None, s3_error(403, "AccessDenied")], ["FAILED  list", "ok      read", "Allow it in the policy"]),
        (
            [None, None, s3_error(403, "AccessDenied")],
            ["ok      list", "FAILED  read", "Allow it in the policy"],
        ),
        ([None, s3_error(400, "ExpiredToken")], ["FAILED  list", "get new ones"]),
        ([None, Fault(404, "<html>a proxy's</html>")], ["FAILED  list         404"]),
    ],
)
def test_what_fails_is_named_with_what_to_do(
    proxy: FaultyProxy, faults: list[object], said: list[str]
) -> None:
    proxy.faults = faults  # type: ignore[assignment]
    result = check("s3://checked/in/a%20b.jpg")
    assert result.exit_code == 1
    for text in said:
        assert text in result.output


@pytest.mark.usefixtures("proxy")
def test_a_bucket_that_is_not_there() -> None:
    result = check("s3://nowhere/")
    assert result.exit_code == 1
    assert "Check the bucket's name" in result.output
    assert "name one, as s3://bucket/key" in result.output


def test_sts_need_not_answer(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    result = check("s3://checked/in/")
    assert result.exit_code == 0, result.output
    assert "STS does not answer" in result.output


def test_a_role_is_assumed_first(proxy: FaultyProxy, endpoint: str) -> None:
    iam = boto3.client("iam", endpoint_url=endpoint)
    role = iam.create_role(RoleName="checker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    result = check("s3://checked/in/", "--role-arn", role["Role"]["Arn"])
    assert result.exit_code == 0, result.output
    assert "checker can be assumed" in result.output
    assert proxy.requests[-1][2]["X-Amz-Security-Token"]


def test_only_s3_can_be_checked() -> None:
    assert check("https://example.org/").exit_code == 2


@pytest.mark.usefixtures("proxy")
def test_a_store_that_is_not_there_is_not_taken_for_a_wrong_identity() -> None:
    result = check("s3://checked/in/", "--s3-endpoint", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert re.search("FAILED +bucket", result.output), result.output
