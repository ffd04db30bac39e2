"""Fakes made of real files: in their source's split, repeatable, and enough to train with real media only."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.media import photo_jpeg, speech_wav, video_mp4
from training.__main__ import main
from training.forgery.rows import CLIP_OPERATORS, PICTURE_OPERATORS
from training.forgery.sound import SOUND_OPERATORS
from training.leaks import check_leaks
from training.rows import RowTable, load_rows
from training.sample import Sample, Split, write_samples
from training.settings import MODALITIES, FitSettings, Modality

SETTINGS = FitSettings(
    image_size=64,
    crops=1,
    clips_per_video=1,
    window_seconds=0.5,
    max_windows=1,
    frames_from_videos=False,
    pseudo_fakes=2,
)
OPERATORS = {"image": PICTURE_OPERATORS, "video": CLIP_OPERATORS, "audio": SOUND_OPERATORS}
SPLITS: tuple[Split, ...] = ("train", "train", "train", "val", "test")


@pytest.fixture(scope="module")
def reals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sample]]:
    """Five real files of each kind."""
    folder, samples = tmp_path_factory.mktemp("reals"), []
    for seed, split in enumerate(SPLITS):
        files: tuple[tuple[str, Modality, bytes], ...] = (
            (f"{seed}.jpg", "image", photo_jpeg(160, 120, seed)),
            (f"{seed}.mp4", "video", video_mp4(0.4, width=96, height=64, sound=False, seed=seed)),
            (f"{seed}.wav", "audio", speech_wav(0.6, seed=seed)),
        )
        for path, modality, content in files:
            (folder / path).write_bytes(content)
            samples.append(Sample(path, modality, 0, split, path, identities=(path,), content_hash=path))
    write_samples(folder / "corpus.csv", samples)
    return folder, samples


def tables(folder: Path, samples: list[Sample], settings: FitSettings) -> dict[Modality, RowTable]:
    return {modality: load_rows(folder, samples, modality, settings, workers=2) for modality in MODALITIES}


@pytest.fixture(scope="module")
def forged(reals: tuple[Path, list[Sample]]) -> dict[Modality, RowTable]:
    return tables(*reals, SETTINGS)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_fake_is_of_its_sources_group_and_split_and_none_is_for_testing(
    forged: dict[Modality, RowTable], modality: Modality
) -> None:
    table = forged[modality]
    sources = {sample.path: sample for sample in table.samples if not sample.label}
    fakes = [sample for sample in table.samples if sample.label]
    assert len(sources) == len(SPLITS)
    assert [fake.split for fake in fakes] == ["train"] * 6 + ["val"] * 2
    names = {f"pseudo/{name}" for name in OPERATORS[modality]}
    for fake in fakes:
        source = sources[fake.path.partition("#")[0]]
        assert (fake.group, fake.split, fake.identities) == (source.group, source.split, source.identities)
        assert fake.manipulation in names
    check_leaks(table.samples)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_fake_is_its_source_forged(forged: dict[Modality, RowTable], modality: Modality) -> None:
    table = forged[modality]
    by_path = {sample.path: file for file, sample in enumerate(table.samples)}
    for path, file in by_path.items():
        rows = table.rows(np.array([file]))
        assert (table.labels[rows] == table.samples[file].label).all()
        if "#" in path:
            source = table.values[table.rows(np.array([by_path[path.partition("#")[0]]]))].astype(float)
            changed = table.values[rows].astype(float)
            assert changed.shape == source.shape
            assert (changed != source).reshape(len(rows), -1).any(axis=1).all()
            assert changed.std() == pytest.approx(source.std(), rel=0.5)
    fakes = table.values[table.rows(np.array([by_path[path] for path in by_path if "#" in path]))]
    assert len(np.unique(fakes, axis=0)) == len(fakes)


def test_they_depend_on_the_source_and_the_seed_alone(
    reals: tuple[Path, list[Sample]], forged: dict[Modality, RowTable], tmp_path: Path
) -> None:
    folder, samples = reals
    for sample in samples:
        (tmp_path / sample.path).write_bytes((folder / sample.path).read_bytes())
    again = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert np.array_equal(again.values, forged["image"].values)
    assert (again.samples, again.data_hash) == (forged["image"].samples, forged["image"].data_hash)
    other = load_rows(folder, samples, "image", SETTINGS.model_copy(update={"seed": 8}), workers=1)
    assert other.data_hash != again.data_hash
    assert not np.array_equal(other.values, again.values)


def test_a_validation_split_with_fakes_of_its_own_stays_as_it_is(
    reals: tuple[Path, list[Sample]], tmp_path: Path
) -> None:
    folder, samples = reals
    (tmp_path / "fake.jpg").write_bytes(photo_jpeg(160, 120, seed=9))
    for sample in samples:
        (tmp_path / sample.path).write_bytes((folder / sample.path).read_bytes())
    fake = Sample("fake.jpg", "image", 1, "val", "fake", "swap")
    table = load_rows(tmp_path, [*samples, fake], "image", SETTINGS, workers=1)
    assert [sample.path for sample in table.samples if sample.label and sample.split == "val"] == ["fake.jpg"]


def test_a_model_is_trained_on_real_files_only(reals: tuple[Path, list[Sample]], tmp_path: Path) -> None:
    folder, _ = reals
    command = (
        f"fit --data-dir {folder} --output-dir {tmp_path} --media-types audio --pseudo-fakes 1 --epochs 1"
    )
    assert main([*command.split(), "--window-seconds", "0.5", "--max-windows", "1", "--workers", "1"]) == 0
    record = json.loads((tmp_path / "audio_model.json").read_text())
    assert record["data"]["files"] == {
        "test real": 1,
        "train fake": 3,
        "train real": 3,
        "val fake": 1,
        "val real": 1,
    }
    assert record["metrics"]["test"]["audio"]["total"]["by_file"]["auc"][0] is None
