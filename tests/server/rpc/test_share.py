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


def test_less_than_a_call_a_second_is_a_rate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("server.rpc.share.time.monotonic", lambda: now)
    share = Share(max_calls=100, max_rate=0.25)
    for _ in range(3):
        share.enter()
        with pytest.raises(RateLimited) as caught:
            share.enter()
        assert caught.value.retry_after == 4
        now += 4


async def test_requests_of_streams_queue_up_one_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("server.rpc.share.time.monotonic", lambda: 1000.0)
    monkeypatch.setattr("server.rpc.share.asyncio.sleep", sleep)
    share = Share(max_calls=100, max_rate=2)
    for _ in range(4):
        await share.turn()
    assert waits == [0.5, 1.0]


def test_as_many_calls_at_once_as_are_allowed() -> None:
    share = Share(max_calls=2, max_rate=0)
    share.enter()
    share.enter()
    with pytest.raises(RateLimited):
        share.enter()
    share.leave()
    share.enter()
