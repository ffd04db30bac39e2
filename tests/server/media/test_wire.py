"""Both ends of a link, with and without memory to share."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from server.media.types import MediaFacts, MediaKind, MediaRows, RowSpec
from server.media.wire import Link, fields, new_memory, read_answer, rows_message

LARGE = os.urandom(9 * 2**20)
with_memory = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no files in memory")


@pytest.fixture(params=[pytest.param(True, marks=with_memory), False], ids=["memory", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Link, Link]]:
    ours, theirs = socket.socketpair()
    memory = new_memory() if request.param else None
    copy = None if memory is None else os.dup(memory)
    with closing(Link(ours, memory)) as one, closing(Link(theirs, copy)) as other:
        yield one, other


@pytest.mark.parametrize("body", [[], [b""], [b"abc", b"", memoryview(b"defg")]])
def test_what_is_sent_arrives(ends: tuple[Link, Link], body: list[bytes]) -> None:
    for sender, receiver in (ends, ends[::-1]):
        sender.send({"a": [1, None]}, body)
        header, received = receiver.receive()
        assert header == {"a": [1, None]}
        assert received == b"".join(body)


def test_a_short_message_after_a_long_one_is_short(ends: tuple[Link, Link]) -> None:
    sender, receiver = ends
    for body in (b"long" * 1000, b"short"):
        sender.send({}, [body])
        assert receiver.receive()[1] == body


def test_a_silent_side_is_not_waited_for_and_one_that_is_gone_is_noticed(ends: tuple[Link, Link]) -> None:
    sender, receiver = ends
    receiver.set_timeout(0.01)
    with pytest.raises(TimeoutError):
        receiver.receive()
    sender.close()
    sender.close()
    with pytest.raises(EOFError):
        receiver.receive()


@with_memory
def test_memory_of_large_bodies_is_given_back() -> None:
    ours, theirs = socket.socketpair()
    memory = os.memfd_create("media")
    with closing(Link(ours, memory)) as sender, closing(Link(theirs, os.dup(memory))) as receiver:
        sender.send({}, [LARGE])
        assert os.fstat(memory).st_size == len(LARGE)
        assert receiver.receive()[1] == LARGE
        assert os.fstat(memory).st_size == 0
        sender.send({}, [b"next"])
        assert receiver.receive()[1] == b"next"


@with_memory
def test_a_side_that_takes_its_body_back_does_no_harm() -> None:
    ours, theirs = socket.socketpair()
    memory = os.memfd_create("media")
    with closing(Link(ours, memory)) as sender, closing(Link(theirs, os.dup(memory))) as receiver:
        sender.send({}, [LARGE])
        os.ftruncate(memory, 10)
        with pytest.raises(EOFError, match="shorter"):
            receiver.receive()


def test_rows_are_the_same_after_the_way() -> None:
    rows = MediaRows(
        MediaFacts(MediaKind.VIDEO, width=4, warnings=("one", "two")),
        frames=np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)[:, :, ::-1],
        clip_index=np.array([[0, 1, 1]]),
        audio=np.ones((1, 5), np.float32),
        audio_channel=np.array([2]),
    )
    header, body = rows_message(rows)
    found = read_answer(header, bytearray(b"".join(body)))
    assert found.facts == rows.facts
    for name in ("frames", "image_index", "clip_index", "audio", "audio_times", "audio_channel"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))


def test_a_record_is_told_by_its_fields() -> None:
    assert RowSpec(**fields(RowSpec(crops=3, want_audio=False))) == RowSpec(crops=3, want_audio=False)
