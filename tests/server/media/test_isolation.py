"""A codec that crashes, hangs or eats memory costs its own request, and nothing else."""

import math
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from server.errors import (
    CorruptMedia,
    DeadlineExceeded,
    DecoderCrashed,
    DecodeTimeout,
    EngineFailed,
    MediaError,
    MediaLimitExceeded,
    ShuttingDown,
)
from server.media import wire
from server.media.decode import decode
from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import MediaKind, MediaRows, RowSpec
from server.urgency import Priority
from tests.media import encode_picture, photo_jpeg, speech_mp3, video_mp4
from tests.urgencies import soon
from tests.waiting import until

LIMITS = MediaLimits()
SMALL = MediaLimits(max_memory_bytes=256 * 2**20)
SPEC = RowSpec(width=64, height=64, crops=2, window_samples=16_001)
FAULTS = "tests.server.media.faults:decode"
with_nameless_signals = pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="all signals have names")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with closing(DecodePool(2, LIMITS)) as pool:
        yield pool


@pytest.fixture
def faulty() -> Iterator[DecodePool]:
    with closing(DecodePool(1, SMALL, FAULTS)) as pool:
        yield pool


def ask(pool: DecodePool, data: bytes, timeout: float = 20.0) -> MediaRows:
    return pool.submit(data, SPEC, None, soon(timeout)).result(60)


def process(pool: DecodePool) -> int:
    """The process that answers."""
    return ask(pool, b"who").facts.sample_rate


@pytest.mark.parametrize("medium", [photo_jpeg, video_mp4, speech_mp3])
def test_decoding_may_take_for_ever(medium: Callable[[], bytes]) -> None:
    with closing(DecodePool(1, MediaLimits(decode_timeout_seconds=math.inf))) as pool:
        assert ask(pool, medium(), math.inf).facts


@pytest.mark.parametrize("medium", [photo_jpeg, video_mp4, speech_mp3])
def test_rows_are_those_of_decoding_in_process(pool: DecodePool, medium: Callable[[], bytes]) -> None:
    data = medium()
    ours, theirs = ask(pool, data), decode(data, SPEC, LIMITS)
    for field in fields(MediaRows):
        if field.name == "facts":
            assert ours.facts == theirs.facts
        else:
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
            assert getattr(ours, field.name).dtype == getattr(theirs, field.name).dtype


def test_rows_are_the_same_where_memory_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "new_memory", lambda: None)
    data = video_mp4()
    with closing(DecodePool(1, LIMITS)) as pool:
        ours, theirs = ask(pool, data), decode(data, SPEC, LIMITS)
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.audio, theirs.audio)


def test_errors_keep_their_type_and_words(pool: DecodePool) -> None:
    with pytest.raises(MediaError) as here:
        decode(b"no medium", SPEC, LIMITS)
    with pytest.raises(type(here.value)) as there:
        ask(pool, b"no medium")
    assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)
    with pytest.raises(MediaError, match="stated to be audio"):
        pool.submit(photo_jpeg(), SPEC, MediaKind.AUDIO).result(60)


def test_many_at_once_get_their_own_answers(pool: DecodePool) -> None:
    photos = [photo_jpeg(80, 60, seed) for seed in range(24)]
    futures = [pool.submit(photo, SPEC, None) for photo in photos]
    for photo, future in zip(photos, futures, strict=True):
        np.testing.assert_array_equal(future.result(60).frames, decode(photo, SPEC, LIMITS).frames)


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ("crash", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("exit", "status 3"),
        pytest.param("signal", "status -", marks=with_nameless_signals),
    ],
)
def test_a_crash_costs_its_own_request(faulty: DecodePool, fault: str, ending: str) -> None:
    before = process(faulty)
    futures = [faulty.submit(data, SPEC, None) for data in (fault.encode(), b"next")]
    with pytest.raises(DecoderCrashed, match=ending):
        futures[0].result(60)
    after = futures[1].result(60).facts.sample_rate
    assert after != before
    assert after == process(faulty)


def test_a_hang_is_stopped_in_time(faulty: DecodePool) -> None:
    before = process(faulty)
    # What is left of its second when the decoder gets it.
    with pytest.raises(DecodeTimeout, match=r"longer than 0\."):
        ask(faulty, b"hang", timeout=1.0)
    assert process(faulty) != before
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_time_spent_waiting_for_a_decoder_is_not_given_again(faulty: DecodePool) -> None:
    process(faulty)
    now = time.monotonic()
    first = faulty.submit(b"hang", SPEC, None, (Priority.NORMAL, now + 1.0))
    second = faulty.submit(b"hang", SPEC, None, (Priority.NORMAL, now + 2.5))
    with pytest.raises(DecodeTimeout, match=r"longer than"):
        first.result(60)
    with pytest.raises(DecodeTimeout, match=r"longer than [01]\."):
        second.result(60)


def test_a_decoder_knows_how_much_time_is_left(faulty: DecodePool) -> None:
    process(faulty)
    assert ask(faulty, b"fine", timeout=15.0).facts.duration_seconds < 15 < SMALL.decode_timeout_seconds


def test_the_limits_hold_where_the_request_allows_more() -> None:
    with (
        closing(DecodePool(1, MediaLimits(decode_timeout_seconds=0.2), FAULTS)) as pool,
        pytest.raises(DecodeTimeout),
    ):
        ask(pool, b"hang", timeout=500)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux caps the address space")
def test_memory_is_capped(faulty: DecodePool) -> None:
    with pytest.raises(MediaLimitExceeded, match="memory"):
        ask(faulty, b"memory")
    assert ask(faulty, b"fine").facts.size_bytes == 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux caps the address space")
def test_a_codec_that_asks_for_too_much_memory_is_refused() -> None:
    large = encode_picture(np.zeros((5_000, 6_000, 3), np.uint8), "PNG")
    with closing(DecodePool(1, MediaLimits(max_memory_bytes=64 * 2**20))) as pool:
        with pytest.raises(MediaLimitExceeded, match="memory"):
            ask(pool, large)
        assert len(ask(pool, photo_jpeg()).frames) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the address space")
def test_a_process_whose_codec_leaves_circles_collects_them(faulty: DecodePool) -> None:
    before = process(faulty)
    # Half of the memory is when it would be replaced.
    for _ in range(300):
        ask(faulty, b"circle")
    assert process(faulty) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the address space")
def test_a_process_that_leaks_is_replaced(faulty: DecodePool) -> None:
    before = process(faulty)
    for _ in range(3):
        assert ask(faulty, b"leak").facts.sample_rate
    assert process(faulty) != before


def test_mistakes_of_ours_cost_one_request_too(faulty: DecodePool) -> None:
    before = process(faulty)
    with pytest.raises(DecoderCrashed, match="nobody thought of this"):
        ask(faulty, b"mistake")
    with pytest.raises(CorruptMedia, match="as it should be") as refused:
        ask(faulty, b"corrupt")
    assert refused.value.hint == "a hint"
    assert process(faulty) == before


def test_a_process_that_talks_nonsense_is_not_asked_again(faulty: DecodePool) -> None:
    taken_over = process(faulty)
    ask(faulty, b"nonsense")
    with pytest.raises(DecoderCrashed):
        ask(faulty, b"next")
    assert process(faulty) != taken_over


def test_the_other_workers_go_on(tmp_path: Path) -> None:
    with closing(DecodePool(2, SMALL, FAULTS)) as pool:
        gate = tmp_path / "gate"
        waiting = pool.submit(b"wait " + os.fsencode(gate), SPEC, None)
        for _ in range(3):
            with pytest.raises(DecoderCrashed):
                ask(pool, b"crash")
        assert not waiting.done()
        gate.touch()
        assert waiting.result(60).facts.sample_rate


def test_a_medium_has_the_threads_of_idle_workers(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with closing(DecodePool(4, MediaLimits(max_threads=3), FAULTS)) as pool:
        running = [pool.submit(b"wait " + os.fsencode(gate), SPEC, None) for _ in range(4)]
        until(lambda: len(list(tmp_path.glob("gate.*"))) == 4)
        gate.touch()
        assert sorted(future.result(60).facts.channels for future in running) == [1, 1, 1, 3]


def test_threads_that_one_medium_had_are_free_for_the_next() -> None:
    with closing(DecodePool(3, MediaLimits(max_threads=3), FAULTS)) as pool:
        for _ in range(2):
            busy = pool.busy_seconds
            assert ask(pool, b"lone").facts.channels == 3
            until(lambda busy=busy: pool.busy_seconds > busy)  # type: ignore[misc]


def test_a_medium_keeps_others_back_the_less_the_more_decoders_there_are() -> None:
    with closing(DecodePool(2, SMALL, FAULTS)) as pool:
        ask(pool, b"lone")
        until(lambda: pool.busy_seconds > 0)
        assert pool.seconds(len(b"lone")) == pytest.approx(pool.busy_seconds / 2)


def test_nothing_is_decoded_beyond_its_deadline(faulty: DecodePool) -> None:
    decoder = process(faulty)
    with pytest.raises(DeadlineExceeded, match="no time was left"):
        ask(faulty, b"late", timeout=-1.0)
    assert process(faulty) == decoder


def test_media_count_until_they_are_decoded(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    data = b"wait " + os.fsencode(gate)
    urgency = soon(60)
    with closing(DecodePool(1, SMALL, FAULTS)) as pool:
        assert pool.seconds(len(data)) == 0
        media = [pool.submit(data, SPEC, None, urgency, cost) for cost in (0.3, 0.4)]
        until(lambda: pool.waiting == 1)
        until(lambda: pool.backlog_seconds == pytest.approx(0.7))
        assert pool.seconds_before((Priority.BATCH, time.monotonic())) == pytest.approx(0.7)
        assert pool.seconds_before((Priority.INTERACTIVE, time.monotonic())) == pytest.approx(0.3)
        gate.touch()
        assert all(future.result(60) for future in media)
        until(lambda: pool.backlog_seconds == 0)
        assert pool.seconds(len(data)) > 0


def test_a_cancelled_request_is_never_started(faulty: DecodePool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    running = faulty.submit(b"wait " + os.fsencode(gate), SPEC, None)
    waiting = [faulty.submit(b"crash", SPEC, None) for _ in range(3)]
    assert all(future.cancel() for future in waiting)
    gate.touch()
    worker = running.result(60).facts.sample_rate
    assert process(faulty) == worker


def test_what_was_cancelled_is_not_kept(faulty: DecodePool) -> None:
    running = faulty.submit(b"hang", SPEC, None, soon(1))
    unwanted = faulty.submit(b"next", SPEC, None)
    kept = weakref.ref(unwanted)
    assert unwanted.cancel()
    del unwanted
    assert kept() is None
    with pytest.raises(DecodeTimeout):
        running.result(60)


def test_an_idle_decoder_keeps_no_medium(faulty: DecodePool) -> None:
    done = faulty.submit(b"fine", SPEC, None)
    kept = weakref.ref(done)
    done.result(60)
    del done
    until(lambda: kept() is None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux caps the address space")
def test_a_medium_that_does_not_fit_into_a_decoder_is_too_large() -> None:
    with closing(DecodePool(1, MediaLimits(max_memory_bytes=64 * 2**20), FAULTS)) as pool:
        with pytest.raises(MediaLimitExceeded, match="memory"):
            ask(pool, bytes(100 * 2**20))
        assert ask(pool, b"fine").facts.size_bytes == 4


def test_closing_cancels_what_waits_and_stops_what_runs() -> None:
    pool = DecodePool(1, SMALL, FAULTS)
    worker = process(pool)
    running, waiting = (pool.submit(b"hang", SPEC, None) for _ in range(2))
    until(running.running)
    pool.close()
    pool.close()
    with pytest.raises(ShuttingDown):
        running.result(0)
    assert waiting.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    with pytest.raises(ShuttingDown):
        pool.submit(b"", SPEC, None)


def test_a_decoder_that_cannot_start_is_an_error_and_not_a_hang() -> None:
    with (
        closing(DecodePool(1, SMALL, "tests.server.media.faults:no_such_function")) as pool,
        pytest.raises(EngineFailed, match=r"no decoder can be started \(exit status 1\)"),
    ):
        ask(pool, b"anything")


def test_the_start_of_a_decoder_is_not_taken_for_what_a_medium_costs(
    faulty: DecodePool, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    data = b"wait " + os.fsencode(tmp_path / "gate")
    start = time.perf_counter()
    with pytest.raises(DecoderCrashed):
        ask(faulty, b"exit")
    until(lambda: faulty.busy_seconds > 0)
    before = faulty.busy_seconds
    ask(faulty, data)  # of the decoder in its place
    until(lambda: faulty.busy_seconds > before)
    assert faulty.seconds(len(data)) < (time.perf_counter() - start) / 4


def test_sigterm_and_ctrl_c_are_for_the_pools_owner(faulty: DecodePool) -> None:
    decoder = process(faulty)
    os.kill(decoder, signal.SIGTERM)
    assert process(faulty) == decoder
    assert os.getpgid(decoder) != os.getpgid(0)  # whose processes Ctrl-C reaches


def test_a_decoder_that_was_killed_while_idle_costs_nobody_a_request(faulty: DecodePool) -> None:
    idle = process(faulty)
    os.kill(idle, signal.SIGKILL)
    # Not only its first thread, without which it looks dead already.
    psutil.Process(idle).wait(60)
    assert process(faulty) != idle


def test_nor_does_one_that_was_killed_before_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def record(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", record)
    with closing(DecodePool(1, MediaLimits(), FAULTS)) as pool:
        started[0].kill()
        started[0].wait(20)
        assert ask(pool, b"fine").facts.size_bytes == 4
