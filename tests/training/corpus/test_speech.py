from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from training.corpus.ambience import draw_noise
from training.corpus.speech import write_speech
from training.sample import Sample

COUNT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    return write_speech(folder, COUNT, seed=3, workers=2)


def decoded(path: Path) -> tuple[int, str, NDArray[np.float64]]:
    with av.open(path) as file:
        stream = file.streams.audio[0]
        pcm = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in file.decode(stream)])
        return stream.rate, stream.codec_context.name, pcm.astype(np.float64)


def test_every_recording_has_one_forgery_in_its_group_and_split(folder: Path, samples: list[Sample]) -> None:
    real = {s.group: s for s in samples if s.label == 0}
    fake = {s.group: s for s in samples if s.label == 1}
    assert len(samples) == 2 * COUNT
    assert real.keys() == fake.keys()
    for group, source in real.items():
        assert source.split == fake[group].split
        assert source.manipulation == "none" != fake[group].manipulation
    assert Counter(s.split for s in real.values()) == {"train": 14, "val": 3, "test": 3}
    assert all((folder / s.path).is_file() for s in samples)
    assert {Path(s.path).parts[:2] for s in samples} == {("real", "audio"), ("fake", "audio")}


def test_format_rate_length_and_level_do_not_tell_real_from_fake(folder: Path, samples: list[Sample]) -> None:
    for real, fake in zip(samples[::2], samples[1::2], strict=True):
        rate, codec, pcm = decoded(folder / real.path)
        fake_rate, fake_codec, fake_pcm = decoded(folder / fake.path)
        assert (rate, codec, len(pcm)) == (fake_rate, fake_codec, len(fake_pcm))
        assert abs(20 * np.log10(pcm.std() / fake_pcm.std())) < 1.5
        assert np.corrcoef(pcm, fake_pcm)[0, 1] < 0.9999


def test_files_depend_on_the_seed_alone(folder: Path, samples: list[Sample], tmp_path: Path) -> None:
    again = write_speech(tmp_path / "again", 4, seed=3, workers=1)
    other = write_speech(tmp_path / "other", 1, seed=4, workers=1)

    assert again == samples[:8]
    for sample in again:
        assert (tmp_path / "again" / sample.path).read_bytes() == (folder / sample.path).read_bytes()
    assert (
        decoded(tmp_path / "other" / other[0].path)[2].tolist()
        != decoded(folder / samples[0].path)[2].tolist()
    )


def test_recordings_differ_in_format_and_rate(folder: Path, samples: list[Sample]) -> None:
    facts = [decoded(folder / sample.path)[:2] for sample in samples[::2]]
    assert len({rate for rate, _ in facts}) >= 3
    assert len({codec for _, codec in facts}) >= 3


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_noise_of_a_moment_is_noise(seconds: float) -> None:
    for seed in range(300):
        noise = draw_noise(np.random.default_rng(seed), round(16_000 * seconds), 16_000)
        assert np.isfinite(noise).all()
        assert noise.std() > 0
