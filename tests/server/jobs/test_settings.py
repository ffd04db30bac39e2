import errno
from pathlib import Path

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
