import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media import photo_jpeg, speech_wav, video_mp4
from training.errors import DataError
from training.masks import FORGED, UNKNOWN
from training.rows import check_classes, load_rows
from training.sample import SPLITS, WHOLE, Region, Sample
from training.settings import FitSettings

SETTINGS = FitSettings(image_size=64, crops=2, frames_per_video=3, window_seconds=0.5, max_windows=2)


def _photos(folder: Path, count: int = 2) -> list[Sample]:
    samples = []
    for index in range(count):
        path = folder / f"photo{index}.jpg"
        path.write_bytes(photo_jpeg(192, 96, seed=index))
        samples.append(Sample(path.name, "image", index % 2, "train", f"group{index}", region=(0, 0, 0.3, 1)))
    return samples


def test_a_model_without_real_or_fake_files_is_told_before_any_is_trained() -> None:
    samples = [
        Sample(f"{split}{label}.jpg", "image", label, split, split) for split in SPLITS for label in (0, 1)
    ]
    check_classes(samples, ["image"], SETTINGS)
    with pytest.raises(DataError, match="audio: the train split has no real files; --media-types"):
        check_classes(samples, ["image", "audio"], SETTINGS)
    unvalidated = [sample for sample in samples if (sample.split, sample.label) != ("val", 1)]
    with pytest.raises(DataError, match="image: the val split has no fake files"):
        check_classes(unvalidated, ["image"], SETTINGS)
    check_classes(unvalidated, ["image"], SETTINGS.model_copy(update={"pseudo_fakes": 1}))


def test_a_photo_gives_labelled_rows_and_a_crop_that_misses_the_forgery_is_real(tmp_path: Path) -> None:
    table = load_rows(tmp_path, _photos(tmp_path), "image", SETTINGS, workers=1)
    assert table.values.shape[1:] == (64, 64, 3)
    assert table.values.dtype == np.uint8
    real, fake = (table.labels[table.rows(np.array([file]))].tolist() for file in (0, 1))
    assert real == [0, 0, 0]
    assert fake[0] == 1
    assert 0 in fake[1:]


def test_a_mask_decides_what_a_row_shows(tmp_path: Path) -> None:
    real, fake = _photos(tmp_path)
    right = np.zeros((48, 96), np.uint8)
    right[:, 60:] = 255
    Image.fromarray(right).save(tmp_path / "mask.png")
    samples = [real, replace(fake, mask="mask.png")]
    table = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert table.cells is not None
    assert table.cells.shape == (6, 4, 4)
    assert (table.cells[:3] == UNKNOWN).all()
    assert table.labels.tolist() == [0, 0, 0, 1, 0, 1]
    assert table.cells[5, 0].tolist()[-1] == FORGED
    assert load_rows(tmp_path, [real, fake], "image", SETTINGS, workers=1).cells is None
    Image.fromarray(right[:, ::-1]).save(tmp_path / "mask.png")
    corrected = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert corrected.cells is not None
    assert not np.array_equal(corrected.cells, table.cells)
    assert corrected.data_hash != table.data_hash


def test_a_photo_whose_mask_is_cut_short_is_left_out(tmp_path: Path) -> None:
    real, fake = _photos(tmp_path)
    Image.new("L", (96, 48)).save(tmp_path / "mask.bmp")
    (tmp_path / "mask.bmp").write_bytes((tmp_path / "mask.bmp").read_bytes()[:-1000])
    table = load_rows(tmp_path, [real, replace(fake, mask="mask.bmp")], "image", SETTINGS, workers=1)
    assert [sample.path for sample in table.samples] == [real.path]
    (rejected,) = table.rejected
    assert rejected.path == fake.path
    assert rejected.reason.startswith("MASK: ")


def test_videos_feed_the_image_model_with_frames_and_the_video_model_with_clips(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(video_mp4())
    samples = [*_photos(tmp_path), Sample("clip.mp4", "video", 1, "val", "clip")]
    frames = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert frames.counts(np.arange(3)).tolist() == [3, 3, 3]
    settings = SETTINGS.model_copy(update={"frames_from_videos": False})
    without = load_rows(tmp_path, samples, "image", settings, workers=1)
    assert [sample.path for sample in without.samples] == ["photo0.jpg", "photo1.jpg"]
    clips = load_rows(tmp_path, samples, "video", SETTINGS, workers=1)
    assert clips.values.shape == (2, 5, 64, 64, 3)
    assert clips.files("val").tolist() == [0]
    assert clips.files("train").tolist() == []


def test_a_video_listed_for_its_sound_gives_windows(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(video_mp4())
    (tmp_path / "silent.mp4").write_bytes(video_mp4(sound=False))
    samples = [Sample(name, "audio", 1, "test", name) for name in ("clip.mp4", "silent.mp4")]
    table = load_rows(tmp_path, samples, "audio", SETTINGS, workers=1)
    assert table.values.shape[1:] == (8000,)
    assert [sample.path for sample in table.samples] == ["clip.mp4"]
    assert [entry.reason for entry in table.rejected] == ["it gives no audio rows"]


def test_sound_gives_windows_of_pcm(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(speech_wav(3.0))
    table = load_rows(tmp_path, [Sample("a.wav", "audio", 1, "test", "a")], "audio", SETTINGS, workers=1)
    assert table.values.shape == (2, 8000)
    assert table.values.dtype == np.float32
    assert table.labels.tolist() == [1, 1]


def test_bad_files_are_named_with_the_reason_and_the_others_kept(tmp_path: Path) -> None:
    samples = _photos(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(photo_jpeg()[:200])
    (tmp_path / "text.jpg").write_text("no picture at all")
    for name in ("broken.jpg", "text.jpg", "missing.jpg"):
        samples.insert(1, Sample(name, "image", 1, "train", name))
    table = load_rows(tmp_path, samples, "image", SETTINGS, workers=2)
    assert [sample.path for sample in table.samples] == ["photo0.jpg", "photo1.jpg"]
    reasons = {entry.path: entry.reason for entry in table.rejected}
    assert set(reasons) == {"broken.jpg", "text.jpg", "missing.jpg"}
    assert "CORRUPT_MEDIA" in reasons["broken.jpg"]
    assert "UNSUPPORTED_MEDIA" in reasons["text.jpg"]
    assert "No such file" in reasons["missing.jpg"]
    # The rows that follow a bad file are still those of their own file.
    alone = load_rows(tmp_path, samples[-1:], "image", SETTINGS, workers=1)
    assert np.array_equal(table.values[table.rows(np.array([1]))], alone.values)


def test_no_usable_file_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture at all")
    with pytest.raises(DataError, match=r"text\.jpg: UNSUPPORTED_MEDIA"):
        load_rows(tmp_path, [Sample("text.jpg", "image", 1, "train", "a")], "image", SETTINGS, workers=1)


def test_rows_are_decoded_once_and_again_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _photos(tmp_path)
    first = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("training.rows.decode_files", None)
        again = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert np.array_equal(first.values, again.values)
    assert again.data_hash == first.data_hash
    assert again.samples == first.samples
    (tmp_path / "photo0.jpg").write_bytes(photo_jpeg(192, 96, seed=9))
    changed = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert not np.array_equal(first.values, changed.values)
    assert changed.data_hash != first.data_hash


def test_rows_of_other_decoders_are_found_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = _photos(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("training.rows.DECODERS", 1)
        load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    monkeypatch.setattr("training.rows.decode_files", lambda *arguments: iter(()))
    with pytest.raises(DataError, match="no file"):
        load_rows(tmp_path, samples, "image", SETTINGS, workers=1)


def test_how_others_want_channels_decodes_no_rows_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _photos(tmp_path)
    load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    otherwise = replace(SETTINGS.row_spec("image"), by_channel=True)
    monkeypatch.setattr(FitSettings, "row_spec", lambda settings, modality: otherwise)
    monkeypatch.setattr("training.rows.decode_files", None)
    load_rows(tmp_path, samples, "image", SETTINGS, workers=1)


def test_the_data_hash_knows_labels_splits_and_contents_but_not_times(tmp_path: Path) -> None:
    samples = _photos(tmp_path)
    first = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    (tmp_path / "photo0.jpg").touch()
    assert load_rows(tmp_path, samples, "image", SETTINGS, workers=1).data_hash == first.data_hash
    swapped = [replace(sample, label=1 - sample.label) for sample in samples]
    assert load_rows(tmp_path, swapped, "image", SETTINGS, workers=1).data_hash != first.data_hash
    moved = [replace(sample, split="test") for sample in samples]
    assert load_rows(tmp_path, moved, "image", SETTINGS, workers=1).data_hash != first.data_hash


def test_a_file_that_changes_but_not_in_size_is_decoded_again(tmp_path: Path) -> None:
    samples, file = _photos(tmp_path), tmp_path / "photo0.jpg"
    first = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    other = photo_jpeg(192, 96, seed=9)
    size = max(len(other), file.stat().st_size)
    for content, time in ((file.read_bytes(), 1), (other, 2)):  # zeros behind a JPEG are nothing
        file.write_bytes(content.ljust(size, b"\0"))
        os.utime(file, (time, time))
        table = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
        assert np.array_equal(first.values, table.values) == (time == 1)


@pytest.mark.parametrize("content_hash", ["", "0" * 64])
def test_files_whose_content_is_known_are_not_touched_again(tmp_path: Path, content_hash: str) -> None:
    samples = [replace(sample, content_hash=content_hash) for sample in _photos(tmp_path)]
    before = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    (tmp_path / samples[0].path).write_bytes(photo_jpeg(192, 96, seed=99))
    after = load_rows(tmp_path, samples, "image", SETTINGS, workers=1)
    assert np.array_equal(before.values, after.values) == bool(content_hash)


def test_a_file_that_was_away_is_tried_again(tmp_path: Path) -> None:
    samples = _photos(tmp_path, 3)
    away = tmp_path / samples[0].path
    away.rename(tmp_path / "elsewhere")
    settings = FitSettings()
    table = load_rows(tmp_path, samples, "image", settings, workers=1)
    assert [entry.path for entry in table.rejected] == [samples[0].path]
    assert load_rows(tmp_path, samples, "image", settings, workers=1).data_hash == table.data_hash
    (tmp_path / "elsewhere").rename(away)
    assert not load_rows(tmp_path, samples, "image", settings, workers=1).rejected


def test_the_data_hash_knows_where_a_picture_is_forged(tmp_path: Path) -> None:
    samples = [replace(sample, label=1) for sample in _photos(tmp_path)]

    def data_hash(region: Region) -> str:
        forged = [replace(sample, region=region) for sample in samples]
        return load_rows(tmp_path, forged, "image", SETTINGS, workers=1).data_hash

    assert data_hash((0, 0, 0.3, 1)) != data_hash((0.7, 0, 1, 1)) != data_hash(WHOLE)
