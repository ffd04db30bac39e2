from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from PIL import Image

from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import MediaRows
from tests import media
from training.corpus.voice import draw_speaker, speak
from training.prepare.fingerprint import SIDE, picture_fingerprint, sound_fingerprint
from training.prepare.inspection import SPEC, heard
from training.prepare.near import MAX_DISTANCE

RATE = 16_000


def distance(one: bytes | None, other: bytes | None) -> int:
    assert one is not None
    assert other is not None
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def rows(data: bytes) -> MediaRows:
    return decode(data, SPEC, MediaLimits())


def of_picture(data: bytes) -> bytes | None:
    return picture_fingerprint(rows(data).frames)


def of_sound(data: bytes) -> bytes | None:
    return sound_fingerprint(heard(rows(data)), RATE)


def shrunk(picture: media.Picture, scale: float, quality: int) -> bytes:
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    return media.encode_picture(Image.fromarray(picture).resize(size), "JPEG", quality=quality)


@pytest.mark.parametrize(("scale", "quality"), [(1, 90), (1, 20), (0.5, 85), (0.3, 30)])
def test_a_recompressed_or_resized_photo_is_near(scale: float, quality: int) -> None:
    for seed in range(5):
        picture = media.photo(480, 360, seed)
        original = of_picture(media.encode_picture(picture, "PNG"))
        assert distance(original, of_picture(shrunk(picture, scale, quality))) <= MAX_DISTANCE


def test_a_copy_of_a_dull_photo_is_near_too() -> None:
    dull = (115 + media.photo(480, 360) / 10).astype(np.uint8)
    copy = shrunk(dull, 0.8, 90)
    assert distance(of_picture(media.encode_picture(dull, "PNG")), of_picture(copy)) <= MAX_DISTANCE


def test_other_photos_are_far() -> None:
    some = [of_picture(media.photo_jpeg(320, 240, seed)) for seed in range(12)]
    assert min(distance(*pair) for pair in combinations(some, 2)) > 5 * MAX_DISTANCE


def test_a_recompressed_video_is_near() -> None:
    pictures = media.moving_pictures(30, seed=3)
    good, bad = (media.encode_video(pictures, options={"crf": crf}) for crf in ("18", "38"))
    assert distance(of_picture(good), of_picture(bad)) <= MAX_DISTANCE


def test_a_black_beginning_hides_no_video() -> None:
    shown = media.photo(SIDE, SIDE)
    faded_in = np.stack([shown * 0, shown, shown])
    assert picture_fingerprint(faded_in) == picture_fingerprint(shown[None])


def voice(seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return speak(random, draw_speaker(random), 4.0, RATE).astype(np.float32)


def wav(sound: NDArray[np.float32]) -> bytes:
    return media.encode_sound(sound, "wav", "pcm_s16le", RATE)


RECODED: dict[str, Callable[[NDArray[np.float32]], bytes]] = {
    "quieter": lambda sound: wav(0.3 * sound),
    "telephone": lambda sound: media.encode_sound(sound, "au", "pcm_mulaw", RATE),
    "mp3": lambda sound: media.encode_sound(
        soxr.resample(sound, RATE, 44_100), "mp3", "libmp3lame", 44_100, bit_rate=96_000
    ),
    "opus": lambda sound: media.encode_sound(soxr.resample(sound, RATE, 48_000), "ogg", "libopus", 48_000),
}


@pytest.mark.parametrize("way", RECODED)
def test_recoded_sound_is_near(way: str) -> None:
    for seed in range(3):
        sound = voice(seed)
        assert distance(of_sound(wav(sound)), of_sound(RECODED[way](sound))) <= MAX_DISTANCE


def test_a_copy_with_noise_in_the_pauses_is_near() -> None:
    sound = media.speech(20.0, RATE)
    sound[8 * RATE : 25 * RATE // 2] = 0
    noise = np.random.default_rng(0).normal(0, 5e-4, len(sound)).astype(np.float32)
    assert len(rows(wav(sound)).audio) < len(rows(wav(sound + noise)).audio)
    assert distance(of_sound(wav(sound)), of_sound(wav(sound + noise))) <= MAX_DISTANCE


def test_other_sounds_are_far() -> None:
    some = [of_sound(wav(voice(seed))) for seed in range(8)]
    assert min(distance(*pair) for pair in combinations(some, 2)) > 4 * MAX_DISTANCE


def test_what_is_too_plain_or_short_has_none() -> None:
    assert picture_fingerprint(np.full((3, SIDE, SIDE, 3), 90, np.uint8)) is None
    assert sound_fingerprint(np.zeros(RATE, np.float32), RATE) is None
    assert sound_fingerprint(np.ones(100, np.float32), RATE) is None
