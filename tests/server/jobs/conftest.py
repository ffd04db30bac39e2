from collections.abc import Iterator

import pytest

from tests.aws import aws_server, use_credentials


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    with aws_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch)
