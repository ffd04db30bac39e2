import errno
from pathlib import Path
from typing import Any

import pytest

from server.jobs.settings import JobSettings


def test_a_secret_that_may_not_be_read_is_a_mistake_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("shared")

    def forbidden(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(ValueError, match=f"webhook_secret_file: cannot read {secret}: Permission denied"):
        JobSettings(queue_url="q", webhook_url="http://localhost", webhook_secret_file=secret)


def test_an_empty_secret_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("\n")
    with pytest.raises(ValueError, match="webhook_secret_file: is empty"):
        JobSettings(queue_url="q", webhook_url="http://localhost", webhook_secret_file=secret)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook_url", "http://"),
        ("webhook_url", "http://:8080/hook"),
        ("webhook_url", "http://example.com:port/hook"),
        ("webhook_url", "http://example.com:99999/hook"),
        ("webhook_url", "http://[::1/hook"),
        ("webhook_url", "http://example.com\n"),
        ("webhook_url", "https://user:password@example.com/hook"),
        ("result_prefix", "s3://media,results/verdicts"),
        ("webhook_timeout_seconds", 1e10),
        ("max_receives", 2000),
    ],
)
def test_what_would_fail_at_a_delivery_is_refused_at_once(name: str, value: object) -> None:
    others: dict[str, Any] = {
        "queue_url": "q",
        "webhook_url": "http://localhost:80?a=b@c",
        "webhook_secret": "s",
    }
    JobSettings(**others)
    with pytest.raises(ValueError, match=name):
        JobSettings(**{**others, name: value})
