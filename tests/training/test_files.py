from pathlib import Path

import pytest

from training.errors import DataError
from training.files import find_samples, limit_samples
from training.sample import Sample, write_samples


def _plain_folder(folder: Path, count: int) -> None:
    for kind in ("real", "fake/face_swap"):
        label, *method = kind.split("/")
        place = folder.joinpath(label, "images", *method)
        place.mkdir(parents=True)
        for index in range(count):
            (place / f"person{index}.jpg").touch()


def test_a_plain_folder_is_read_with_labels_operators_and_groups(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 1)
    real, fake = sorted(find_samples(tmp_path), key=lambda sample: sample.label)
    assert (real.path, real.modality, real.operator) == ("real/images/person0.jpg", "image", "none")
    assert (fake.path, fake.operator) == ("fake/images/face_swap/person0.jpg", "face_swap")
    assert real.group == fake.group


def test_no_group_crosses_a_split_and_shares_are_about_right(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 400)
    samples = find_samples(tmp_path)
    splits: dict[str, set[str]] = {}
    for sample in samples:
        splits.setdefault(sample.group, set()).add(sample.split)
    assert all(len(of_group) == 1 for of_group in splits.values())
    train = sum(sample.split == "train" for sample in samples) / len(samples)
    assert 0.65 < train < 0.75
    assert {sample.split for sample in samples} == {"train", "val", "test"}


def test_a_new_file_moves_no_other_to_another_split(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 30)
    before = set(find_samples(tmp_path))
    (tmp_path / "real" / "images" / "another.jpg").touch()
    assert before < set(find_samples(tmp_path))


def test_a_corpus_csv_goes_before_the_folders(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 2)
    listed = [Sample("elsewhere/a.wav", "audio", 1, "val", "a", "vocoder")]
    write_samples(tmp_path / "corpus.csv", listed)
    assert find_samples(tmp_path) == listed


@pytest.mark.parametrize("text", ["", "path,label\na.jpg,1\n", "file\n\x00"])
def test_a_foreign_csv_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.csv").write_text(text)
    with pytest.raises(DataError, match=r"corpus\.csv"):
        find_samples(tmp_path)


def test_an_empty_folder_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="real,fake"):
        find_samples(tmp_path)


def test_a_limit_keeps_the_same_files_of_every_split_and_groups_whole(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 200)
    samples = find_samples(tmp_path)
    kept = limit_samples(samples, 60)
    assert len(kept) == 60
    assert kept == limit_samples(list(reversed(samples)), 60)
    assert {sample.split for sample in kept} == {"train", "val", "test"}
    assert sum(sample.label for sample in kept) == 30
