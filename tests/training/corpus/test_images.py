"""Pictures and clips: deterministic, paired, and alike in everything but the forgery."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from training.corpus.clips import write_clips
from training.corpus.images import write_images
from training.sample import Sample

Made = tuple[Path, list[Sample]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pictures")
    return folder, write_images(folder, 12, seed=5, workers=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("clips")
    return folder, write_clips(folder, 4, seed=5, workers=2)


def test_the_same_seed_gives_the_same_files_for_any_number_of_workers(
    pictures: Made, clips: Made, tmp_path: Path
) -> None:
    assert write_images(tmp_path, 4, seed=5, workers=1) == pictures[1][:4]
    assert write_clips(tmp_path, 2, seed=5, workers=1) == clips[1][:2]
    made = contents(pictures[0]) | contents(clips[0])
    assert all(made[path] == data for path, data in contents(tmp_path).items())


def test_another_seed_gives_other_files(pictures: Made, tmp_path: Path) -> None:
    first = write_images(tmp_path, 2, seed=6, workers=1)[0]
    assert (tmp_path / first.path).read_bytes() not in contents(pictures[0]).values()


@pytest.mark.parametrize(("made", "modality"), [("pictures", "image"), ("clips", "video")])
def test_every_fake_has_its_real_source_in_the_same_split(
    made: str, modality: str, request: pytest.FixtureRequest
) -> None:
    _, samples = request.getfixturevalue(made)
    for real, fake in zip(samples[::2], samples[1::2], strict=True):
        assert (real.label, fake.label) == (0, 1)
        assert (real.group, real.split, real.modality) == (fake.group, fake.split, modality)
        assert real.manipulation == "none" != fake.manipulation
        left, top, right, bottom = fake.region
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_format_size_and_quality_do_not_give_a_fake_away(pictures: Made) -> None:
    folder, samples = pictures
    for real, fake in zip(samples[::2], samples[1::2], strict=True):
        one, other = (Image.open(io.BytesIO((folder / sample.path).read_bytes())) for sample in (real, fake))
        assert (one.format, one.size, one.mode) == (other.format, other.size, other.mode)
        assert getattr(one, "quantization", None) == getattr(other, "quantization", None)
        assert not np.array_equal(np.asarray(one), np.asarray(other))


def test_every_fake_picture_has_a_mask_of_where_it_differs(pictures: Made) -> None:
    folder, samples = pictures
    for real, fake in zip(samples[::2], samples[1::2], strict=True):
        assert not real.mask
        mask = np.asarray(Image.open(folder / fake.mask))
        assert mask.max() > 100
        width, height = Image.open(folder / fake.path).size
        assert mask.shape[1] / mask.shape[0] == pytest.approx(width / height, rel=0.1)


def test_codec_size_and_length_do_not_give_a_fake_clip_away(clips: Made) -> None:
    folder, samples = clips
    facts = []
    for sample in samples:
        with av.open(folder / sample.path) as container:
            stream = container.streams.video[0]
            facts.append((stream.codec.name, stream.width, stream.height, stream.average_rate, stream.frames))
    assert facts[::2] == facts[1::2]
