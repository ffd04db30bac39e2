import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from clients.output import opened
from clients.predictions import COLUMNS, Prediction
from training.errors import DataError
from training.evaluation.judged import JudgedFile, JudgedRow, read_judged, unjudged, write_judged
from training.sample import Sample

JUDGED = JudgedFile(
    path="fake/images/a,b.jpg",
    label=1,
    kind="image",
    group="set/a",
    dataset="set",
    manipulation="blend",
    verdict="FAKE",
    fake_probability=0.75,
    image_probability=0.75,
    total_seconds=0.25,
    peak_memory_bytes=2**20,
    rows=(JudgedRow("image", 1, 0.0, 0.0, 0.5),),
)
FAILED = JudgedFile(path="x.jpg", label=0, kind="image", group="x", error="CORRUPT_MEDIA: no")


def test_jsonl_gives_back_everything_and_csv_all_but_the_rows(tmp_path: Path) -> None:
    for name, expected in (("p.jsonl", JUDGED), ("p.csv", JUDGED.answered(rows=()))):
        write_judged(tmp_path / name, [JUDGED, FAILED])
        assert read_judged(tmp_path / name) == [expected, FAILED]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_the_client_wrote_is_read_with_labels_from_its_folders(tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"predictions{suffix}"
    with opened(table, resume=False) as output:
        output.write(
            Prediction("media/real/a.png", "REAL", fake_probability=0.1, kind="IMAGE", total_seconds=1.5)
        )
        output.write(
            Prediction("media/fake/b.wav", "FAKE", audio_probability=0.9, fake_probability=0.9, kind="AUDIO")
        )
        output.write(Prediction("real/fake/c.png", error_code="CORRUPT_MEDIA", error_message="broken"))
    first, second, third = read_judged(table)
    assert (first.label, first.kind, first.verdict, first.total_seconds) == (0, "image", "REAL", 1.5)
    assert (second.label, second.kind, second.probability("audio")) == (1, "audio", 0.9)
    # The folder nearest to the file says what it is.
    assert (third.label, third.verdict, third.error) == (1, None, "broken")
    assert first.group != second.group


def test_labels_come_from_another_csv_whose_paths_may_be_relative_to_it(tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name in ("a.png", str(tmp_path / "media" / "b.png")):
            writer.writerow(asdict(Prediction(name, "REAL", fake_probability=0.2, kind="IMAGE")))
    (tmp_path / "media").mkdir()
    labels = tmp_path / "media" / "labels.csv"
    labels.write_text("path,label,group,manipulation\na.png,fake,g1,blend\nb.png,0,g2,none\n")
    first, second = read_judged(table, labels)
    assert (first.label, first.group, first.manipulation) == (1, "g1", "blend")
    assert (second.label, second.group) == (0, "g2")
    labels.write_text("path,label\na.png,1\n")
    with pytest.raises(DataError, match="do not name"):
        read_judged(table, labels)


def test_what_labels_state_counts_more_than_the_table(tmp_path: Path) -> None:
    write_judged(tmp_path / "p.csv", [JUDGED])
    (tmp_path / "labels.csv").write_text('path,label,group\n"fake/images/a,b.jpg",1,mine\n')
    (found,) = read_judged(tmp_path / "p.csv", tmp_path / "labels.csv")
    assert (found.group, found.dataset) == ("mine", "set")


def test_groups_of_the_same_name_in_two_data_sets_are_two() -> None:
    sample = Sample("a.jpg", "image", 1, "test", "g", "blend", compression="c23")
    found = unjudged(sample, "here/a.jpg", "here")
    assert (found.group, found.dataset, found.compression) == ("here/g", "here", "c23")
    assert unjudged(sample, "there/a.jpg", "there").group == "there/g"


def test_a_column_of_labels_is_enough(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("path,label,fake_probability,kind\nx,fake,0.9,image\ny,0,0.2,image\n")
    assert [file.label for file in read_judged(tmp_path / "p.csv")] == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,fake_probability\nx.png,0.3\n", "nobody says whether x.png"),
        ("name,score\nx,1\n", "not a table of predictions"),
        ("path,label,fake_probability\nx,maybe,0.3\n", "not a table of predictions"),
        ("path,label,fake_probability\nx,1,often\n", "not a table of predictions"),
    ],
)
def test_other_tables_are_refused_with_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_judged(tmp_path / "p.csv")


@pytest.mark.parametrize("probability", ["nan", "85", "-0.1"])
def test_what_is_no_probability_is_refused(tmp_path: Path, probability: str) -> None:
    table = tmp_path / "p.csv"
    table.write_text(f"path,label,fake_probability\na.jpg,1,{probability}\n")
    with pytest.raises(DataError, match=rf"fake_probability of a\.jpg is '{probability}': .*\Z"):
        read_judged(table)


def test_tables_that_a_spreadsheet_saved_are_read(tmp_path: Path) -> None:
    table, labels = tmp_path / "p.csv", tmp_path / "labels.csv"
    write_judged(table, [FAILED])
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    labels.write_text("path,label\nx.jpg,fake\n", encoding="utf-8-sig")
    assert [(file.path, file.label) for file in read_judged(table, labels)] == [("x.jpg", 1)]
    labels.write_text("path,label\ncafé.jpg,fake\n", encoding="latin-1")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_judged(table, labels)


def test_labels_of_a_name_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    table, labels = tmp_path / "p.csv", tmp_path / "labels.csv"
    write_judged(table, [FAILED])
    labels.write_text("path,label\nx.jpg,fake\ny\0.jpg,real\n")
    with pytest.raises(DataError, match="zero byte"):
        read_judged(table, labels)


@pytest.mark.parametrize("label", [1.0, True, "Fake"])
def test_labels_of_json_may_be_numbers_or_booleans(tmp_path: Path, label: object) -> None:
    table = tmp_path / "p.jsonl"
    table.write_text(json.dumps({"path": "x.jpg", "kind": "IMAGE", "label": label}))
    assert [file.label for file in read_judged(table)] == [1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("label,path\nreal,x.jpg\nreal,y.jpg\nfake,x.jpg\n", r"gives x\.jpg two labels"),
        ("label,path\nfake,x.jpg\n1,x.jpg\nreal\n", ""),
    ],
)
def test_labels_that_contradict_each_other_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    table, labels = tmp_path / "p.jsonl", tmp_path / "labels.csv"
    write_judged(table, [FAILED])
    labels.write_text(lines)
    if message:
        with pytest.raises(DataError, match=message):
            read_judged(table, labels)
    else:
        assert [file.label for file in read_judged(table, labels)] == [1]
