import asyncio

import pytest

from server.detect.contents import of_each
from server.errors import CorruptMedia


async def test_when_one_medium_fails_nobody_works_on_the_others_any_more() -> None:
    begun: list[asyncio.Task[None]] = []

    async def work(medium: str) -> None:
        task = asyncio.current_task()
        assert task
        begun.append(task)
        if medium == "broken":
            await asyncio.sleep(0)
            raise CorruptMedia("broken")
        await asyncio.Event().wait()

    with pytest.raises(CorruptMedia) as caught:
        await of_each(("good", "broken", "good"), work)
    assert caught.value.medium == 1
    _, unfinished = await asyncio.wait(begun, timeout=5)
    assert not unfinished
