"""Every operator keeps its contract, and does more at a higher level."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate

from server.errors import MediaError
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaKind, RowSpec
from tests.media import (
    encode_picture,
    encode_sound,
    encode_video,
    moving_pictures,
    photo,
    speech,
    speech_wav,
    video_mp4,
)
from tests.used_memory import printed
from training.corpus.sound_files import encode
from training.perturb import pictures, sound
from training.perturb.files import perturbed
from training.perturb.table import PICTURES, SOUND, PicturePerturbation, SoundPerturbation, perturbations

RATE = 16_000

PERTURB = """
import hashlib, sys
from io import BytesIO
from pathlib import Path
import av
from training.perturb.files import perturbed
content = perturbed(Path(sys.argv[1]).read_bytes(), "video", "noise", 2, 0)
with av.open(BytesIO(content)) as video:
    for frame in video.decode(video=0):
        print(hashlib.sha256(frame.to_ndarray(format="rgb24").tobytes()).hexdigest())
"""


def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("entry", PICTURES, ids=lambda entry: entry.name)
def test_pictures_stay_pictures_and_lose_more_at_every_level(entry: PicturePerturbation) -> None:
    frames = np.stack(moving_pictures(3, 64, 48))
    found = [entry.apply(_rng(), frames, level) for level in entry.levels]
    assert all(changed.dtype == np.uint8 and changed.ndim == 4 and len(changed) == 3 for changed in found)
    if entry.name == "crop":
        areas = [changed[0].size for changed in found]
        assert areas == sorted(areas, reverse=True)
        assert areas[-1] == pytest.approx(frames[0].size / 4, rel=0.05)
        return
    assert all(changed.shape == frames.shape for changed in found)
    losses = [np.mean((changed.astype(float) - frames) ** 2) for changed in found]
    assert losses == sorted(losses)
    assert losses[0] > 0


@pytest.mark.parametrize("entry", SOUND, ids=lambda entry: entry.name)
def test_sound_keeps_its_length_and_loses_more_at_the_last_level(entry: SoundPerturbation) -> None:
    pcm = speech(1.0, RATE).astype(np.float64)
    found = [entry.apply(_rng(), pcm, RATE, level) for level in entry.levels]
    assert all(changed.shape == pcm.shape and np.isfinite(changed).all() for changed in found)
    losses = [np.mean((_spectrum(changed) - _spectrum(pcm)) ** 2) for changed in found]
    assert 0 < losses[0] < losses[-1]


def test_background_noise_is_as_many_decibels_below_the_sound() -> None:
    pcm = speech(2.0, RATE).astype(np.float64)
    (noise,) = (entry for entry in SOUND if entry.name == "noise")
    for level in noise.levels:
        added = noise.apply(_rng(), pcm, RATE, level) - pcm
        assert 20 * np.log10(pcm.std() / added.std()) == pytest.approx(level, abs=1)


def test_a_room_answers_after_the_sound_and_dies_away_in_its_time() -> None:
    (room,) = (entry for entry in SOUND if entry.name == "room")
    heard = room.apply(_rng(), np.eye(1, RATE)[0], RATE, 0.5)
    assert heard[0] == pytest.approx(1)
    assert np.abs(heard[1:40]).max() < 1e-9 < np.abs(heard[60:100]).max()
    early, late = (np.square(heard[start : start + 800]).mean() for start in (800, 4800))
    assert 10 * np.log10(early / late) == pytest.approx(60 * 4000 / RATE / 0.5, abs=2)


def test_noise_and_blur_mix_no_frames_and_wrap_no_tones() -> None:
    frames = np.stack([np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)])
    for name in ("noise", "blur"):
        (entry,) = (entry for entry in PICTURES if entry.name == name)
        dark, bright = entry.apply(_rng(), frames, entry.levels[-1]).astype(int)
        assert dark.max() < 128 < bright.min()


def test_a_crop_is_a_part_somewhere_in_the_picture() -> None:
    rows, columns = np.mgrid[0:20, 0:20].astype(np.uint8)
    places = np.stack([rows, columns, columns], axis=-1)[None]
    corners = [pictures.crop(np.random.default_rng(seed), places, 0.5)[0, 0, 0] for seed in range(60)]
    assert np.min(corners, axis=0).tolist() == [0, 0, 0]
    assert np.max(corners, axis=0).tolist() == [10, 10, 10]


def test_blur_makes_nothing_darker() -> None:
    frames = np.stack([np.full((32, 32, 3), 7, np.uint8), photo(32, 32)])
    for level in (0.5, 2.0):
        flat, blurred = pictures.blur(_rng(), frames, level)
        assert (flat == 7).all()
        assert blurred.mean() == pytest.approx(frames[1].mean(), abs=0.3)


@pytest.mark.parametrize("kilobits", [24, 32])
def test_mp3_has_the_bit_rate_of_its_level(kilobits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "LOSSY_FORMATS", ("mp3",))
    sizes = []

    def through(pcm: np.ndarray, rate: int, between: int, extension: str, kilobits: int) -> np.ndarray:
        file = BytesIO()
        encode(np.resize(pcm, len(pcm) * between // rate), between, file, extension, kilobits)
        sizes.append(len(file.getvalue()))
        return pcm

    monkeypatch.setattr(sound, "through_file", through)
    for rate in (16_000, 44_100, 48_000):
        sound.codec(_rng(), _rng().uniform(-1, 1, 5 * rate), rate, kilobits)
    assert np.array(sizes) * 8 / 5 / 1000 == pytest.approx(np.full(3, kilobits), rel=0.1)


def _spectrum(pcm: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(pcm, 512)[::256]
    return np.log(np.abs(np.fft.rfft(frames * np.hanning(512))) + 1e-3)


def test_the_same_seed_gives_the_same_file_and_another_another() -> None:
    content = encode_picture(photo(64, 48), "PNG")
    first, again, other = (perturbed(content, "image", "noise", 3, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_a_perturbation_a_photo_is_the_same_and_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode_picture(photo(64, 48), "PNG", exif=exif.tobytes())
    with Image.open(BytesIO(perturbed(content, "image", None, 0, 0))) as image:
        assert np.array_equal(np.asarray(image), np.rot90(photo(64, 48), -1))


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "CMYK"])
def test_without_a_perturbation_a_photo_of_any_kind_is_what_the_server_sees(mode: str) -> None:
    picture = Image.fromarray(photo(64, 48))
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    original = encode_picture(picture.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    before, after = (
        decode(content, RowSpec(height=48, width=64), MediaLimits()).frames
        for content in (original, perturbed(original, "image", None, 0, 0))
    )
    assert np.array_equal(before, after)


@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
@pytest.mark.parametrize("matrix", ["unspecified", "bt709", "smpte170m"])
def test_without_a_perturbation_a_video_keeps_its_colours(size: tuple[int, int], matrix: str) -> None:
    halves = np.full((size[1], size[0], 3), (200, 40, 60), np.uint8)
    halves[:, : size[0] // 2] = (30, 180, 90)
    original = encode_video([halves] * 3, options={"colorspace": matrix})
    spec = RowSpec(height=48, width=64, want_clips=False)
    before, after = (
        decode(content, spec, MediaLimits()).frames.astype(int)
        for content in (original, perturbed(original, "video", None, 0, 0))
    )
    assert np.abs(before - after).mean() < 1


@pytest.mark.parametrize("name", [None, *(entry.name for entry in perturbations("video"))])
def test_a_perturbed_video_is_one_for_the_server_with_its_times_and_its_sound(name: str | None) -> None:
    original = video_mp4(1.0, width=160, height=120)
    spec = RowSpec(height=64, width=64, clips=1)
    before = decode(original, spec, MediaLimits(), MediaKind.VIDEO)
    after = decode(perturbed(original, "video", name, 2, 0), spec, MediaLimits(), MediaKind.VIDEO)
    assert after.image_times == pytest.approx(before.image_times, abs=0.05)
    assert len(after.audio) == len(before.audio) == 1
    # Containers count the encoder's delay, a few hundredths of a second, differently.
    heard, original_sound = after.audio[0][: 3 * RATE // 4], before.audio[0][: 3 * RATE // 4]
    likeness = correlate(heard, original_sound, "same") / np.sum(original_sound**2)
    assert likeness.max() > 0.9
    assert abs(int(likeness.argmax()) - len(likeness) // 2) < 0.07 * RATE
    if name is None:
        assert np.abs(after.frames.astype(int) - before.frames).mean() < 3


def test_what_memory_held_before_changes_no_perturbed_video(tmp_path: Path) -> None:
    original = tmp_path / "original.mp4"
    original.write_bytes(video_mp4(0.6, width=410, height=222))
    first, second = (printed(PERTURB, str(original), memory=byte) for byte in (1, 200))
    assert first == second != ""


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_video_is_upright_afterwards(rotation: int) -> None:
    original = encode_video(moving_pictures(5, 160, 120), rotation=rotation)
    spec = RowSpec(height=64, width=64, want_clips=False)
    before = decode(original, spec, MediaLimits())
    after = decode(perturbed(original, "video", None, 0, 0), spec, MediaLimits())
    assert np.abs(after.frames.astype(int) - before.frames).mean() < 3


@pytest.mark.parametrize("name", [None, *(entry.name for entry in SOUND)])
def test_perturbed_sound_is_sound_of_the_same_length(name: str | None) -> None:
    with av.open(BytesIO(perturbed(speech_wav(1.0), "audio", name, 2, 0)), "r") as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == pytest.approx(RATE, abs=2)


@pytest.mark.parametrize(("level", "below"), [(1, 40), (3, 20), (5, 0)])
def test_a_perturbed_sound_meets_the_level_of_its_number(level: int, below: int) -> None:
    before, after = (
        decode(content, RowSpec(64, 64), MediaLimits()).audio[0]
        for content in (speech_wav(1.0), perturbed(speech_wav(1.0), "audio", "noise", level, 0))
    )
    # Softer as a whole, where it would be clipped.
    scale = np.dot(after, before) / np.dot(before, before)
    added = after / scale - before
    assert 20 * np.log10(before.std() / added.std()) == pytest.approx(below, abs=1.5)


def test_channels_of_opposite_phase_are_perturbed_as_the_detector_hears_them() -> None:
    sound = speech(1.0, RATE)
    opposite = encode_sound(np.stack([sound, -sound]), "wav", "pcm_s16le", RATE)
    again = perturbed(opposite, "audio", None, 0, 0)
    before, after = (decode(file, RowSpec(64, 64), MediaLimits()).audio for file in (opposite, again))
    assert len(before) == len(after) == 1
    assert np.abs(before - after).max() < 1e-3


def test_what_cannot_be_decoded_is_an_error() -> None:
    for kind in ("image", "video", "audio"):
        with pytest.raises((MediaError, OSError, ValueError)):
            perturbed(b"nothing", kind, None, 0, 0)
