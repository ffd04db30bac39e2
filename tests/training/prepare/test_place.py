"""Where prepared files and their masks lie."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests import media
from tests.training.prepare.runs import lists, rejected, run, write
from training.files import find_samples
from training.sample import Sample, write_samples


@pytest.mark.parametrize("place", ["link", "copy"])
def test_files_can_be_brought_into_the_data_folder(raw: Path, tmp_path: Path, place: str) -> None:
    run(raw, tmp_path, place=place)
    samples = find_samples(tmp_path)
    assert all(not Path(sample.path).is_absolute() for sample in samples)
    clip = tmp_path / "fake/videos/swap/clip.mp4"
    assert clip.samefile(raw / "fake/videos/swap/clip.mp4") == (place == "link")
    assert clip.read_bytes() == (raw / "fake/videos/swap/clip.mp4").read_bytes()
    before = lists(tmp_path)
    run(raw, tmp_path, place=place)
    assert lists(tmp_path) == before


def test_copies_take_the_place_of_links(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path, place="link")
    clip = tmp_path / "fake/videos/swap/clip.mp4"
    clip.unlink()
    clip.symlink_to(raw / "fake/videos/swap/clip.mp4")  # as between file systems
    run(raw, tmp_path, place="copy")
    assert not clip.is_symlink()
    assert not any((tmp_path / sample.path).samefile(raw / sample.path) for sample in find_samples(tmp_path))


def test_relative_links_are_followed(raw: Path, tmp_path: Path) -> None:
    for label in ("real", "fake"):  # as a cache of downloads has them
        folder = tmp_path / "snapshot" / label / "images"
        folder.mkdir(parents=True)
        (folder / "a.jpg").symlink_to(f"../../../{label}")
        shutil.copy(next((raw / label).rglob("p00.jpg")), tmp_path / label)
    data = tmp_path / "elsewhere" / "data"
    run(tmp_path / "snapshot", data, place="link")
    assert all((data / sample.path).is_file() for sample in find_samples(data))


@pytest.mark.parametrize("place", ["reference", "link", "copy"])
def test_masks_come_along(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "corpus"
    for number, name in enumerate(("real.jpg", "fake.jpg", "other.jpg")):
        write(folder / name, media.photo_jpeg(200, 150, number))
    write(folder / "masks/fake.jpg", media.photo_jpeg(200, 150))
    samples = [
        Sample("real.jpg", "image", 0, "train", "a"),
        Sample("fake.jpg", "image", 1, "train", "a", "swap", mask="masks/fake.jpg"),
        Sample("other.jpg", "image", 1, "train", "b", "swap", mask="masks/other.jpg"),
    ]
    write_samples(folder / "corpus.csv", samples)
    data = tmp_path / "data"
    run(folder, data, place=place)
    assert rejected(data) == [("other.jpg", "MASK")]
    before = lists(data)
    run(folder, data, place=place)
    assert lists(data) == before

    real, fake = sorted(find_samples(data), key=lambda sample: sample.label)
    assert not real.mask
    mask = data / fake.mask
    assert mask.read_bytes() == (folder / "masks/fake.jpg").read_bytes()
    assert fake.mask.startswith("masks/") == (place != "reference")
    assert mask.samefile(folder / "masks/fake.jpg") == (place != "copy")


@pytest.mark.parametrize("place", ["link", "copy"])
def test_another_mask_takes_the_place_of_the_last(tmp_path: Path, place: str) -> None:
    folder, data = tmp_path / "corpus", tmp_path / "data"
    write(folder / "fake.jpg", media.photo_jpeg(200, 150))
    for shade in (0, 255):
        mask = folder / f"{shade}.bmp"
        Image.new("L", (20, 15), shade).save(mask)
        os.utime(mask, (0, 0))  # as if unpacked from one archive
        write_samples(folder / "corpus.csv", [Sample("fake.jpg", "image", 1, "train", "a", mask=mask.name)])
        run(folder, data, place=place)
        (fake,) = find_samples(data)
        assert (data / fake.mask).read_bytes() == mask.read_bytes()


def test_files_whose_masks_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    samples = []
    for number, name in enumerate(("good.png", "text.png", "m" * 300, "two\nlines.png")):
        write(tmp_path / f"raw/{number}.jpg", media.photo_jpeg(64, 48, number))
        samples.append(Sample(f"{number}.jpg", "image", 1, "train", str(number), mask=name))
    for name in ("good.png", "two\nlines.png"):
        Image.new("L", (64, 48)).save(tmp_path / "raw" / name)
    write(tmp_path / "raw/text.png", b"text")
    write_samples(tmp_path / "raw/corpus.csv", samples)
    run(tmp_path / "raw", tmp_path / "data")
    assert rejected(tmp_path / "data") == [(f"{number}.jpg", "MASK") for number in (1, 2, 3)]
