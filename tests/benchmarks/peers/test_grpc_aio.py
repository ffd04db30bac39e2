"""The peer that others are held against must not lose or swap answers when callers give up."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvloop", reason="needs the extra bench")

from benchmarks.peers import grpc_aio
from benchmarks.peers.grpc_aio import Batcher
from benchmarks.peers.launch import Launch


class Scorer:
    """Each payload is its own answer, as soon as that may be given."""

    may_answer = threading.Event()

    def __init__(self, _: Launch) -> None: ...

    def probabilities(self, payloads: list[bytes]) -> list[float]:
        assert payloads
        self.may_answer.wait(10)
        return [float(payload) for payload in payloads]


def test_who_gives_up_takes_nobody_elses_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_aio, "Scorer", Scorer)
    launch = Launch("", str(tmp_path), "", 0, False, 8, 8, workers=1, batch=4)

    async def run() -> list[Any]:
        batcher = Batcher(launch)
        asked = [asyncio.create_task(batcher.probability(b"%d" % number)) for number in range(12)]
        await asyncio.sleep(0.05)
        # Of a batch that runs, of one that waits, and all of another.
        for number in (1, 5, 8, 9, 10, 11):
            asked[number].cancel()
        Scorer.may_answer.set()
        return await asyncio.wait_for(
            asyncio.gather(*asked, batcher.probability(b"12"), return_exceptions=True), 10
        )

    answers = asyncio.run(run())
    found = {number: answer for number, answer in enumerate(answers) if isinstance(answer, float)}
    assert found == {number: number for number in (0, 2, 3, 4, 6, 7, 12)}
