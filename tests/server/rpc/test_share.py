import pytest

from server.errors import RateLimited
from server.rpc.share import Share


def test_calls_that_were_not_made_are_kept_for_one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("server.rpc.share.time.monotonic", lambda: now)
    share = Share(max_calls=100, max_rate=4)
    now += 3600
    for _ in range(4):
        share.enter()
    with pytest.raises(RateLimited) as caught:
        share.enter()
    now += caught.value.retry_after
    share.enter()
