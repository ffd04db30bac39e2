"""The decoders that are compared give the pictures that were asked for."""

import importlib
import shutil
from pathlib import Path

import pytest

from benchmarks.decode import measure as decoding
from benchmarks.decode import photo_decoders, video_decoders
from benchmarks.decode.decoder import in_process
from benchmarks.decode.tables import table
from benchmarks.decode.videos import Video

PLAN = decoding.Plan(rounds=1, workers=1, photos=1)
SHORT = Video(160, 96, 2, 12)


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_photos(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PHOTO_SIZES", [(640, 520)])
    comparison = decoding.compare_photos(encoding, PLAN, silent)
    assert {"ours, in process", "ours, pool", "Pillow"} <= {one.decoder for one in comparison.measured}
    assert not comparison.problems
    assert all(one.wall[0] > 0 and one.rate[0] > 0 for one in comparison.measured)
    assert len(table(comparison, PLAN).rows) == len(comparison.measured)


def test_videos_are_made_once(tmp_path: Path) -> None:
    path = SHORT.file(tmp_path)
    written = path.stat().st_mtime_ns
    assert SHORT.file(tmp_path) == path
    assert path.stat().st_mtime_ns == written
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_frames_of_a_video(tmp_path: Path) -> None:
    comparison = decoding.compare_videos(SHORT, tmp_path, PLAN, silent)
    ours = comparison.measured[0]
    assert ours.difference == 0
    assert not comparison.problems


def test_another_picture_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = in_process("wrong", lambda data: 255 - photo_decoders.reference(data))
    monkeypatch.setattr(photo_decoders, "photo_decoders", lambda jpeg: ([wrong], ["something"]))
    comparison = decoding.compare_photos("jpeg", PLAN, silent)
    assert "wrong is" in comparison.problems[0]
    assert comparison.missing == ["something"]


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    decoders, names = photo_decoders.photo_decoders(jpeg=True)
    assert "Pillow" in [decoder.name for decoder in decoders]
    assert not any("OpenCV" in decoder.name for decoder in decoders)
    assert len(names) == 3
    assert names[0].startswith("opencv (No module")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert len(video_decoders.video_decoders(SHORT)[1]) == 3
