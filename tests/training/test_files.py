import os
from pathlib import Path
from typing import Any

import pytest

from training.errors import DataError, LeakError
from training.files import find_samples, limit_samples
from training.sample import Sample, write_samples


def _plain_folder(folder: Path, count: int) -> None:
    for kind in ("real", "fake/face_swap"):
        label, *method = kind.split("/")
        place = folder.joinpath(label, "images", *method)
        place.mkdir(parents=True)
        for index in range(count):
            (place / f"person{index}.jpg").touch()


def test_a_plain_folder_is_read_with_labels_manipulations_and_groups(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 1)
    real, fake = sorted(find_samples(tmp_path), key=lambda sample: sample.label)
    assert (real.path, real.modality, real.manipulation) == ("real/images/person0.jpg", "image", "none")
    assert (fake.path, fake.manipulation) == ("fake/images/face_swap/person0.jpg", "face_swap")
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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a.jpg,photo,1,train,a", "modality of a.jpg must be image or video or audio, not 'photo'"),
        ("a.jpg,image,2,train,a", "label of a.jpg must be 0 or 1, not '2'"),
        ("a.jpg,image,fake,train,a", "label of a.jpg must be 0 or 1, not 'fake'"),
        ("a.jpg,image,1,validation,a", "split of a.jpg must be train or val or test, not 'validation'"),
        ("a.jpg,image", "label of a.jpg must be 0 or 1, not ''"),
        ("a.jpg,image,1,train,a,10 20 90 80", "region of a.jpg must be .* fractions, not '10 20 90 80'"),
        ("a.jpg,image,1,train,a,0.9 0 0.1 1", "region of a.jpg must be"),
        ("other.jpg,image,0,train,a", "lists other.jpg twice"),
        ("./other.jpg,image,0,train,a", "lists other.jpg twice"),
        ("other.jpg,audio,1,test,b", "file other.jpg is in more than one split"),
        ("caf\xe9.jpg,image,1,train,a", "is not UTF-8"),
        ("a\0.jpg,image,1,train,a", "line 3 names a file with a zero byte"),
        ("a.jpg,image,1,train,a,,m\0.png", "line 3 names a file with a zero byte"),
    ],
)
def test_a_line_that_means_nothing_is_named(tmp_path: Path, line: str, told: str) -> None:
    lines = ["path,modality,label,split,group,region,mask", "other.jpg,image,1,train,o", line]
    (tmp_path / "corpus.csv").write_text("\n".join(lines), encoding="latin-1")
    with pytest.raises(DataError, match=told):
        find_samples(tmp_path)


def test_a_listing_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    lines = ["path,modality,label,split,group,note", '"a, b.jpg",image,1,train,a,"x"', "c.wav,audio,0,val,c,"]
    lines.append(lines[1])  # twice, and the same
    (tmp_path / "corpus.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert find_samples(tmp_path) == [
        Sample("a, b.jpg", "image", 1, "train", "a", "unknown"),
        Sample("c.wav", "audio", 0, "val", "c"),
    ]


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


def test_the_lists_of_a_prepared_folder_are_read_together(tmp_path: Path) -> None:
    photo = Sample("/elsewhere/a.jpg", "image", 0, "train", "a", identities=("a", "b"), duration_seconds=1.5)
    film = Sample("b.mp4", "video", 1, "val", "c", "swap", compression="c23", checks=("decoded",))
    write_samples(tmp_path / "train.csv", [photo])
    write_samples(tmp_path / "val_videos.csv", [film])
    assert find_samples(tmp_path) == [photo, film]


@pytest.mark.parametrize(
    ("what", "shared"),
    [
        ("identity anna", {"identities": ("anna",)}),
        ("content 00ff", {"content_hash": "00ff"}),
    ],
)
def test_what_is_in_two_splits_is_refused_with_its_files(
    tmp_path: Path, what: str, shared: dict[str, Any]
) -> None:
    write_samples(tmp_path / "train.csv", [Sample("a.jpg", "image", 0, "train", "1", **shared)])
    write_samples(tmp_path / "test_videos.csv", [Sample("b.mp4", "video", 1, "test", "2", **shared)])
    with pytest.raises(LeakError, match=r"a\.jpg \(train\), b\.mp4 \(test\)") as caught:
        find_samples(tmp_path)
    assert caught.value.what == what


def test_a_name_that_no_list_can_hold_is_told(tmp_path: Path) -> None:
    _plain_folder(tmp_path, 1)
    Path(os.fsdecode(bytes(tmp_path / "real" / "images") + b"/caf\xe9.jpg")).touch()
    with pytest.raises(DataError, match=r"caf\\udce9.jpg': rename it"):
        find_samples(tmp_path)
