import re
from typing import get_args

import pytest
from pydantic_settings import SettingsError

from server.configuration import load
from server.settings import Settings


@pytest.mark.parametrize("flag", ["--max-queue-bytes", "--max-queue-bytes-per-token"])
def test_a_queue_that_cannot_hold_one_medium_is_impossible(flag: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"^{flag[2:].replace('-', '_')} \({flag}\): must be at least 536870912,"
    ):
        load([flag, "1000000"], Settings)


@pytest.mark.parametrize("flag", ["--tls-certificate", "--tls-key", "--tls-client-ca"])
def test_half_of_tls_is_impossible(flag: str) -> None:
    with pytest.raises(SettingsError, match="tls_certificate"):
        load([flag, "file.pem"], Settings)


def test_production_does_not_describe_itself_to_strangers() -> None:
    assert not Settings(profile="production").reflection


def test_no_secret_is_a_plain_string() -> None:
    secret = re.compile("(secret|password|token|key)$")
    fields = Settings.model_fields.items()
    types = {name: {field.annotation, *get_args(field.annotation)} for name, field in fields}
    assert [name for name in types if secret.search(name) and str in types[name]] == []


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "flag",
    [
        "--s3-endpoint=localhost:9000",
        "--otlp-endpoint=localhost:4317",
        "--otlp-endpoint=http://",
        "--otlp-endpoint=http://user:password@host:4317",
        "--max-streams-per-connection=5000000000",
        "--max-pixels=3000000000",
        "--max-queue-size=5000000000",
        "--max-media-per-request=5000000000",
        "--max-frames-per-video=5000000000",
        "--max-media-bytes=20000000000000000000",
        "--max-decode-memory-bytes=9223372036854775807",
        "--host=detector..example.com",
        "--aws-connect-timeout-seconds=inf",
        "--aws-connect-timeout-seconds=10000000000",
        "--aws-read-timeout-seconds=inf",
    ],
)
def test_what_would_fail_later_is_refused_at_once(flag: str) -> None:
    with pytest.raises(SettingsError, match=flag[2:].partition("=")[0].replace("-", "_")):
        load([flag], Settings)


@pytest.mark.parametrize(
    "host",
    [
        "https://example.com",
        "example.com/path",
        "host:abc",
        "user@host",
        "",
        "2606:4700::1",
        "*.",
        "*..:444",
        "a.com,b.com",
        " a.com",
    ],
)
def test_hosts_are_hosts(host: str) -> None:
    with pytest.raises(SettingsError, match="https_hosts"):
        load([f"--https-hosts={host}"], Settings)


@pytest.mark.parametrize("bucket", ["", "s3://media", "media/", "media,results", " media", "*"])
def test_buckets_are_names(bucket: str) -> None:
    with pytest.raises(SettingsError, match=r"s3_buckets \(--s3-buckets\): .* is no name of a bucket"):
        load([f"--s3-buckets={bucket}"], Settings)


def test_every_process_needs_a_port_for_its_metrics() -> None:
    assert load(["--metrics-port", "65534", "--processes", "2"], Settings)
    assert load(["--metrics-port", "0", "--processes", "2"], Settings)
    with pytest.raises(SettingsError, match="metrics_port"):
        load(["--metrics-port", "65535", "--processes", "2"], Settings)


def test_an_empty_root_is_not_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="file_roots"):
        load(["--file-roots", ""], Settings)
    monkeypatch.setenv("DEEPFAKE_FILE_ROOTS", '[""]')
    with pytest.raises(SettingsError, match="file_roots"):
        load([], Settings)


@pytest.mark.parametrize("name", ["models", "graph_cache_dir", "log_dir", "tokens", "tls_certificate"])
def test_an_empty_variable_is_not_the_working_folder(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"DEEPFAKE_{name.upper()}", "")
    with pytest.raises(SettingsError, match=f"{name} .*working folder"):
        load([], Settings)
