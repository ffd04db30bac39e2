import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from training.evaluation.judged import JudgedFile, JudgedRow
from training.evaluation.measure import as_json, as_table, evaluate, from_json, slices_of
from training.evaluation.metrics import METRICS
from training.evaluation.results import write_csv
from training.labels import UNCLEAR


def _file(
    name: str, whole: float, rows: dict[float, int], manipulation: str = "none", kind: str = "image"
) -> JudgedFile:
    return JudgedFile(
        path=name,
        label=0 if manipulation == "none" else 1,
        kind=kind,
        group=name,
        dataset="ours" if name in "abc" else "theirs",
        manipulation=manipulation,
        image_probability=whole,
        rows=tuple(JudgedRow("image", label, 0, 0, p) for p, label in rows.items()),
    )


FILES = [
    _file("a", 0.1, {0.05: 0, 0.2: 0}),
    _file("b", 0.7, {0.7: 0, 0.71: 0}),
    _file("c", 0.9, {0.98: 1, 0.9: UNCLEAR}, "blend"),
    _file("d", 0.01, {0.01: 1, 0.011: 0}, "noise"),
    _file("e", 0.9, {0.9: 0, 0.91: 0}, kind="video"),
    _file("f", 0.2, {0.2: 1, 0.21: 1}, "flicker", "video"),
]


def test_photos_and_videos_are_measured_apart_and_manipulations_against_real_files_of_their_kind() -> None:
    photos, videos = evaluate(FILES)
    assert (photos.voice, photos.media, photos.total.files, photos.total.rows) == ("image", "image", 4, 7)
    assert (videos.media, videos.total.files, videos.total.fakes) == ("video", 2, 1)
    blend, noise = (photos.slices["manipulation"][name] for name in ("blend", "noise"))
    assert blend.by_file["auc"].value == pytest.approx(1.0)
    assert noise.by_file["auc"].value == pytest.approx(0.0)
    # Reals at 0.1 and 0.7, fakes at 0.9 and 0.01: "c" is above both, "d" above none.
    assert photos.total.by_file["auc"].value == pytest.approx(0.5)
    assert photos.total.by_file["accuracy"].value == pytest.approx(0.5)
    assert photos.total.by_file["precision"].value == pytest.approx(0.5)


def test_data_sets_are_measured_with_their_own_real_files() -> None:
    photos, videos = evaluate(FILES)
    assert {name: part.files for name, part in photos.slices["dataset"].items()} == {"ours": 3, "theirs": 1}
    assert photos.slices["dataset"]["ours"].by_file["auc"].value == pytest.approx(1.0)
    assert photos.slices["dataset"]["theirs"].by_file["auc"].value is None
    assert "dataset" not in videos.slices


def test_rows_are_measured_by_their_own_labels_without_the_unclear() -> None:
    photos, _ = evaluate(FILES)
    # Right at 0.5: 0.05, 0.2 (real), 0.98 (fake), 0.011 (real); wrong: 0.7, 0.71 and 0.01.
    assert photos.total.by_row["accuracy"].value == pytest.approx(4 / 7)


def test_a_voice_is_measured_on_the_files_that_it_spoke_of() -> None:
    heard = FILES[0].answered(fake_probability=0.3)
    fused, image, _ = evaluate([heard, *FILES[1:]])
    assert (fused.voice, fused.total.files) == ("fused", 1)
    assert fused.total.by_row == {}
    assert image.total.files == 4


def test_files_of_one_source_tell_nothing_of_how_certain_a_figure_is() -> None:
    photos, _ = evaluate([file.answered(group="one") for file in FILES])
    for found in (photos.total.by_file["auc"], photos.total.by_row["auc"]):
        assert found.value is not None
        assert found.low is None


def test_what_nobody_stated_is_no_slice() -> None:
    files = [file.answered(manipulation="", dataset="") for file in FILES]
    assert slices_of(files, "manipulation") == slices_of(files, "dataset") == {}
    stated_of_fakes = [file if file.label else file.answered(manipulation="") for file in FILES]
    assert len(slices_of(stated_of_fakes, "manipulation")["blend"]) == 4


def test_the_table_the_json_and_the_csv_tell_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = evaluate(FILES, slice_metrics=METRICS)
    Console(width=180).print(as_table(found, "Test"))
    shown = capsys.readouterr().out
    for text in ("blend", "noise", "flicker", "0.500 [", "image files", "video files"):
        assert text in shown
    assert from_json(json.loads(json.dumps(as_json(found)))) == found
    write_csv(tmp_path / "results.csv", found)
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    whole = next(line for line in lines if (line["media"], line["slice"]) == ("image", "all"))
    assert float(whole["auc"]) == pytest.approx(0.5)
    assert float(whole["auc_low"]) <= 0.5 <= float(whole["auc_high"])
    of_rows = [line for line in lines if line["value"] == "blend" and line["level"] == "row"]
    assert [line["count"] for line in of_rows] == ["5"]
