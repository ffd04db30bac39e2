"""Recordings one behind the other in a file play one behind the other, each with its sound."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media.decode import decode
from server.media.joints import JoinedClock
from server.media.types import MediaRows, RowSpec
from tests.media import Sound, encode_sound, encode_video, moving_pictures, pitch, tone
from tests.server.media.videos import COUNT, HEIGHT, LIMITS, WIDTH, in_sequence, numbers

RATE = 16_000
SPEC = RowSpec(width=WIDTH, height=HEIGHT, frames=12, want_clips=False, window_samples=RATE)
SECONDS = COUNT / 25
LOW, HIGH = 440, 1_000


def part(
    number: int,
    container: str = "mpegts",
    codec: str = "libx264",
    clock: float = 0.0,
    heard: float = 0.0,
    **options: str,
) -> bytes:
    """A video of 2.4 s whose clock starts late, with a tone of one of two frequencies."""
    sound = tone(heard, 48_000, (LOW, HIGH)[number % 2]) if heard else None
    return encode_video(
        moving_pictures(COUNT, WIDTH, HEIGHT, number),
        container,
        codec,
        options=options,
        sound=sound,
        sound_codec="mp2",
        sound_rate=48_000,
        muxing={"output_ts_offset": str(clock)},
    )


def shown_frames(rows: MediaRows, parts: list[bytes]) -> list[int]:
    """Which frame of those of all parts each row is, to the bit."""
    return numbers(rows, [frame for data in parts for frame in in_sequence(data)])


def heard_as(sound: Sound) -> int:
    """The one of two frequencies that it has."""
    return min(LOW, HIGH, key=lambda frequency: abs(pitch(sound, RATE) - frequency))


@pytest.mark.parametrize(
    ("container", "codec"), [("mpegts", "libx264"), ("mpegts", "mpeg2video"), ("mpeg", "mpeg2video")]
)
@pytest.mark.parametrize("clocks", [(0, 0), (0, 0, 0, 0), (0, 100), (100, 0), (300, 90_000, 12)])
def test_joined_videos(container: str, codec: str, clocks: tuple[int, ...]) -> None:
    parts = [part(number, container, codec, clock) for number, clock in enumerate(clocks)]
    rows = decode(b"".join(parts), SPEC, LIMITS)
    assert rows.facts.duration_seconds == pytest.approx(len(parts) * SECONDS, abs=0.05)
    assert rows.facts.frame_rate == pytest.approx(25, rel=0.02)
    np.testing.assert_allclose(np.asarray(shown_frames(rows, parts)) / 25, rows.image_times[:, 0], atol=0.05)


@pytest.mark.parametrize("frames", [("0", "3"), ("3", "0")])
def test_pictures_that_are_not_stored_as_shown_stay_on_their_side_of_the_joint(
    frames: tuple[str, str],
) -> None:
    parts = [part(number, bf=bf) for number, bf in enumerate(frames)]
    rows = decode(b"".join(parts), SPEC, LIMITS)
    assert rows.facts.duration_seconds == pytest.approx(2 * SECONDS)
    assert rows.facts.frame_rate == pytest.approx(25)
    np.testing.assert_allclose(np.asarray(shown_frames(rows, parts)) / 25, rows.image_times[:, 0], atol=1e-3)


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
@pytest.mark.parametrize("clocks", [(0, 0), (300, 0, 20), (0, 24, 90_000, 24)])
@pytest.mark.parametrize("heard", [SECONDS, 2 * SECONDS])
def test_sound_stays_with_its_pictures(container: str, clocks: tuple[int, ...], heard: float) -> None:
    # Of a program stream, FFmpeg gives most pictures of H.264 no times.
    codec = "libx264" if container == "mpegts" or heard == SECONDS else "mpeg2video"
    parts = [part(number, container, codec, clock, heard) for number, clock in enumerate(clocks)]
    rows = decode(b"".join(parts), SPEC, LIMITS)
    places, frames = np.divmod(shown_frames(rows, parts), COUNT)
    expected = places * heard + frames / 25
    np.testing.assert_allclose(expected, rows.image_times[:, 0], atol=0.12 * len(parts))
    for sound, (begin, end) in zip(rows.audio, rows.audio_times, strict=True):
        place = int((begin + end) / 2 // heard)
        if place * heard <= begin + 0.3 and end - 0.3 <= (place + 1) * heard:
            assert heard_as(sound) == (LOW, HIGH)[place % 2]
    assert rows.audio_times.max() == pytest.approx(len(parts) * heard, abs=0.12 * len(parts))


def test_a_part_without_sound_is_silent_in_its_place() -> None:
    parts = [part(0, heard=SECONDS), *[part(1, clock=100 * number) for number in range(1, 5)]]
    parts.append(part(1, heard=SECONDS))
    rows = decode(b"".join(parts), SPEC, LIMITS)
    assert rows.facts.duration_seconds == pytest.approx(len(parts) * SECONDS, abs=0.1)
    times = {heard_as(sound): span for sound, span in zip(rows.audio, rows.audio_times, strict=True)}
    assert times[HIGH][1] == pytest.approx(len(parts) * SECONDS, abs=0.1)


@pytest.mark.parametrize("clock", [0, 2**33 / 90_000 - 1])
def test_one_recording_keeps_its_times(clock: float) -> None:
    # The clock of MPEG has 33 bits: a day and two hours.
    data = part(0, clock=clock, heard=SECONDS)
    rows = decode(data, SPEC, LIMITS)
    # The sound begins some milliseconds earlier, and so does the medium.
    np.testing.assert_allclose(np.asarray(shown_frames(rows, [data])) / 25, rows.image_times[:, 0], atol=0.02)
    assert rows.audio_times.max() == pytest.approx(SECONDS, abs=0.05)


def test_sound_that_pauses_beside_pictures_keeps_its_times() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as output:
        video = output.add_stream("mpeg2video", rate=25)
        audio = output.add_stream("mp2", rate=48_000, layout="mono")
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        saw = np.arange(1920, dtype=np.int16)[None]
        for number in range(20 * 25):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(video.encode(picture))
            if not 2 * 25 <= number < 17 * 25:
                sound = av.AudioFrame.from_ndarray(saw, "s16", "mono")
                sound.sample_rate, sound.pts, sound.time_base = 48_000, number * 1920, Fraction(1, 48_000)
                output.mux(audio.encode(sound))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    rows = decode(buffer.getvalue(), SPEC, LIMITS)
    assert rows.audio_times.max() == pytest.approx(20, abs=0.1)
    assert rows.facts.duration_seconds == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("seconds", [(20, 20), (30, 8), (8, 30)])
def test_chained_ogg(seconds: tuple[int, int]) -> None:
    first, second = (
        encode_sound(tone(length, 48_000, frequency), "ogg", "libopus", 48_000)
        for length, frequency in zip(seconds, (LOW, HIGH), strict=True)
    )
    rows = decode(first + second, RowSpec(window_samples=RATE, windows=8), LIMITS)
    assert rows.facts.duration_seconds == pytest.approx(sum(seconds), abs=0.1)
    assert len(rows.audio) == 8
    for sound, (begin, end) in zip(rows.audio, rows.audio_times, strict=True):
        if not begin < seconds[0] < end:
            assert heard_as(sound) == (LOW if begin < seconds[0] else HIGH)


# The clock alone, of packets every half second, in ticks of a thousandth.

STEP = 500
VIDEO, AUDIO = 0, 1
Packet = tuple[int, int, int | None]
"""Stream, part, and its time on the clock of that part, if it has one."""


def mended(packets: Sequence[Packet], length: int = STEP) -> list[int]:
    """By how much the time of each that has one is moved."""
    with av.open(io.BytesIO(), "w", format="mpegts") as output:
        streams: list[Any] = [output.add_stream("mpeg2video", rate=25), output.add_stream("mp2", rate=48_000)]
        clock, shifts = JoinedClock(), []
        for stream, _, time in packets:
            packet = av.Packet(b"-")
            packet.stream, packet.time_base = streams[stream], Fraction(1, 1000)
            packet.dts, packet.pts, packet.duration = time, time, length
            clock.mend(packet)
            if time is not None and packet.dts is not None:
                assert packet.pts == packet.dts
                shifts.append(packet.dts - time)
        return shifts


@st.composite
def recordings(draw: st.DrawFn, parts: int) -> tuple[list[Packet], list[int], list[int]]:
    """Packets in the order of the file, and the start and length of each part.

    Sound is stored up to a second before or behind its pictures, over the joints too, may be missing
    from a part but the first, and pause.
    """
    apart = draw(st.integers(-2, 2))
    starts, lengths = [], []
    stored: list[tuple[float, Packet]] = []
    place = 0
    for number in range(parts):
        start = 1000 * draw(st.sampled_from([0, 100, 7_000, 90_000]))
        count = draw(st.integers(24, 60))
        sounds = not number or draw(st.booleans())
        pause = draw(st.tuples(st.integers(4, count), st.integers(4, count)))
        for index in range(count):
            time = start + STEP * index
            stored.append((place + index, (VIDEO, number, time)))
            if sounds and not pause[0] <= index < pause[1]:
                stored.append((place + index + apart + 0.5, (AUDIO, number, time)))
        place += count
        starts.append(start)
        lengths.append(STEP * count)
    stored.sort(key=lambda entry: entry[0])
    return [packet for _, packet in stored], starts, lengths


@given(recordings(1))
def test_the_clock_of_one_recording_stays(recording: tuple[list[Packet], list[int], list[int]]) -> None:
    packets, _, _ = recording
    assert set(mended(packets)) == {0}


@given(st.integers(2, 5).flatmap(recordings))
def test_every_part_follows_the_one_before_and_stays_in_step(
    recording: tuple[list[Packet], list[int], list[int]],
) -> None:
    packets, starts, lengths = recording
    shifts: list[set[int]] = [set() for _ in starts]
    for (_, number, _), shift in zip(packets, mended(packets), strict=True):
        shifts[number].add(shift)
    begin = starts[0]
    for number, found in enumerate(shifts):
        assert len(found) == 1
        # Sound may cross a joint a second before the pictures do.
        assert abs(found.pop() + starts[number] - begin) <= 1500 * number
        begin += lengths[number]


def test_packets_without_times_take_their_time() -> None:
    clock = [(VIDEO, 0, None if index % 24 else STEP * index) for index in range(100)]
    again = [(VIDEO, 1, time) for _, _, time in clock]
    assert mended([*clock, *again]) == [0] * 5 + [100 * STEP] * 5


def test_sound_that_begins_behind_a_joint_goes_with_its_pictures() -> None:
    first = [(VIDEO, 0, STEP * index) for index in range(40)]
    second = [(stream, 1, STEP * index) for index in range(40) for stream in (VIDEO, AUDIO)]
    assert mended([*first, *second]) == [0] * 40 + [40 * STEP] * 80


def test_sound_that_begins_behind_a_joint_before_its_pictures_follows_them() -> None:
    first = [(VIDEO, 0, STEP * index) for index in range(40)]
    second = [(stream, 1, STEP * index) for index in range(40) for stream in (AUDIO, VIDEO)]
    assert mended([*first, *second])[41:] == [40 * STEP] * 79


def test_a_picture_whose_time_is_that_of_the_next_part_is_shown_in_its_own() -> None:
    with av.open(io.BytesIO(), "w", format="mpegts") as output:
        stream, clock, shown = output.add_stream("mpeg2video", rate=25), JoinedClock(), []
        for decoded, guessed in ((0, 120), (40, 40), (80, 80), (120, 90_000), (90_000, 90_120)):
            packet = av.Packet(b"-")
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 1000), 40
            packet.dts, packet.pts = decoded, guessed
            clock.mend(packet)
            shown.append(packet)
    assert [packet.pts for packet in shown] == [120, 40, 80, 240, 280]


@pytest.mark.parametrize("start", [-30, -20, -8, -6, -2, 0, 2, 6, 9, 11, 14, 30])
@pytest.mark.parametrize("silent", [0, 3, 8, 20])
def test_sound_goes_with_its_pictures_where_a_joint_looks_like_a_pause(start: int, silent: int) -> None:
    # The first lasts 30 seconds; its sound ends earlier. The clock of the second nearly goes on.
    first = [(VIDEO, 0, 1000 * second) for second in range(30)]
    first += [(AUDIO, 0, 1000 * second) for second in range(30 - silent)]
    second = [(stream, 1, 1000 * (30 + start + place)) for place in range(20) for stream in (VIDEO, AUDIO)]
    packets = [*sorted(first, key=lambda packet: packet[2]), *second]
    shifts = mended(packets, length=1000)
    assert set(shifts[: len(first)]) == {0}
    assert len(set(shifts[len(first) :])) == 1


@pytest.mark.parametrize("leap", [-9_000, -700, 700, 3_000, 9_000, 20_000])
def test_one_damaged_time_moves_nothing_else(leap: int) -> None:
    packets = [(stream, 0, STEP * index) for index in range(60) for stream in (VIDEO, AUDIO)]
    packets[61] = (AUDIO, 0, packets[61][2] + leap)
    shifts = mended(packets)
    assert shifts[:61] == [0] * 61
    assert shifts[62:] == [0] * 58


def test_a_stream_without_others_may_pause() -> None:
    pause = 40 * STEP + 15_000
    packets = [(VIDEO, 0, place + STEP * index) for place in (0, pause) for index in range(40)]
    assert mended(packets) == [0] * 80


def test_pictures_that_are_far_apart_are_shown_when_they_were() -> None:
    with av.open(io.BytesIO(), "w", format="mpegts") as output:
        stream, clock, packets = output.add_stream("mpeg2video", rate=25), JoinedClock(), []
        # Six seconds each, and the third is shown after the two that follow.
        times = [(0, 6), (6, 12), (12, 30), (18, 18), (24, 24), (30, 48), (36, 36), (42, 42)]
        for decoded, shown in times:
            packet = av.Packet(b"-")
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1), 6
            packet.dts, packet.pts = decoded, shown
            clock.mend(packet)
            packets.append(packet)
    assert [(packet.dts, packet.pts) for packet in packets] == times
