"""Prediction files: formats, crashes, and going on after them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from clients.__main__ import app
from clients.errors import DetectionError
from clients.output import SUFFIXES, opened
from clients.predictions import COLUMNS, Prediction
from tests.clients.fake_detector import FakeDetector
from tests.clients.records import paths

FILES = 60
ANSWERED = 25


def record(path: str, **values: Any) -> Prediction:
    return Prediction(path, **{"verdict": "FAKE", "fake_probability": 0.75, "image_rows": 5, **values})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_going_on_keeps_verdicts_and_drops_failures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    with opened(path, resume=False) as output:
        output.write(record("a.jpg"))
        output.write(Prediction("b.jpg", error_code="CORRUPT_MEDIA", error_message='a "broken"\nfile'))
    assert paths(path) == ["a.jpg", "b.jpg"]
    with opened(path, resume=True) as output:
        assert output.done == {"a.jpg"}
        output.write(record("b.jpg"))
    assert paths(path) == ["a.jpg", "b.jpg"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_going_on_that_was_cut_short_keeps_what_it_added(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    with opened(path, resume=False) as output:
        output.write(record("a.jpg"))

    def cut_short() -> None:
        with opened(path, resume=True) as output:
            output.write(record("b.jpg"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    with opened(path, resume=True) as output:
        assert output.done == {"a.jpg", "b.jpg"}
    assert paths(path) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_no_cut_of_the_last_line_loses_or_invents_a_record(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    with opened(path, resume=False) as output:
        output.write(record("a.jpg"))
        whole = path.read_bytes()
        output.write(record('ä, "b"\n.jpg', model_version="17"))
    added = path.read_bytes()[len(whole) :]
    for cut in range(1, len(added)):
        path.write_bytes(whole + added[:cut])
        with opened(path, resume=True) as output:
            # Only the end of the line may be missing from a record that counts.
            assert "a.jpg" in output.done
            assert len(output.done) == 1 or not added[cut:].strip()
            output.write(record("c.jpg"))
        assert paths(path)[0] == "a.jpg"
        assert paths(path)[-1] == "c.jpg"


def test_names_that_are_not_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    for suffix in SUFFIXES:
        path = tmp_path / f"predictions{suffix}"
        with opened(path, resume=False) as output:
            output.write(record(name))
            output.write(Prediction("b.jpg", error_code="SOURCE_NOT_FOUND", error_message=f"no {name}"))
        assert paths(path) == ["caf\\udce9.jpg", "b.jpg"]


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with opened(path, resume=False) as output:
        output.write(record("a.jpg"))
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == COLUMNS
    kinds = {
        name: str(table.schema.field(name).type) for name in ("verdict", "fake_probability", "image_rows")
    }
    assert kinds == {"verdict": "string", "fake_probability": "double", "image_rows": "int64"}
    assert table["fake_probability"].to_pylist() == [0.75]
    assert table["audio_rows"].to_pylist() == [None]


def test_without_pyarrow_parquet_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(DetectionError, match=r"deepfake-detector\[parquet\]"),
        opened(tmp_path / "predictions.parquet", resume=False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


class Gate(threading.Event):
    """Lets so many calls pass, until it is set."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._calls = threading.Semaphore(calls)

    def wait(self, timeout: float | None = None) -> bool:
        return self._calls.acquire(timeout=timeout)

    def set(self) -> None:
        self._calls.release(10**6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_killed_run_goes_on_where_it_was(fake_detector: FakeDetector, tmp_path: Path, suffix: str) -> None:
    for number in range(FILES):
        (tmp_path / f"{number:03}.jpg").write_bytes(b"real")
    output = tmp_path / f"predictions{suffix}"
    journal = output if suffix != ".parquet" else tmp_path / "predictions.parquet.jsonl"
    fake_detector.go_on = Gate(ANSWERED)
    arguments = ["detect", str(tmp_path), "--server", fake_detector.address, "--output", str(output)]
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *arguments, "--concurrency", "4"], stdout=subprocess.DEVNULL
    ) as killed:
        lines = ANSWERED + (suffix == ".csv")
        while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    fake_detector.go_on.set()
    fake_detector.requests.clear()
    result = CliRunner().invoke(app, [*arguments, "--resume"])
    assert result.exit_code == 0, result.output
    assert f"{ANSWERED} answered before" in result.output
    asked = {request.media[0].name for request in fake_detector.requests}
    assert len(asked) <= FILES - ANSWERED + 4  # the calls that hung may only be served now
    assert [Path(path).name for path in sorted(paths(output))] == [f"{n:03}.jpg" for n in range(FILES)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "path,label\na.jpg,fake\n"),
        ("more.csv", ",".join([*COLUMNS, "label"]) + "\n"),
        ("other.jsonl", '{"path": "a.jpg", "label": 1}\n'),
        ("array.jsonl", '[\n{"path": "a.jpg", "label": 1}\n]\n'),
        ("line.jsonl", '[{"path": "a.jpg", "label": 1}]'),
        ("label.jsonl", "label\n"),
    ],
)
def test_a_file_of_others_is_not_gone_on_with(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DetectionError, match=f"{name} has other columns"), opened(path, resume=True):
        pass
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "{", '{"path": "a.jp'])
def test_a_run_that_was_killed_at_its_first_record_goes_on(tmp_path: Path, text: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(text)
    with opened(path, resume=True) as output:
        output.write(record("a.jpg"))
    assert paths(path) == ["a.jpg"]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.parquet").mkdir()
    long = "longer-than-names-can-be" * 20
    for name, resume in (
        *(("nowhere/p.csv", False), ("folder.csv", False), ("folder.parquet", True)),
        *((f"{long}.csv", True), (f"{long}.parquet", True)),
    ):
        with pytest.raises(DetectionError) as caught, opened(tmp_path / name, resume=resume):
            pass
        assert caught.value.code == "UNWRITABLE_FILE"


def test_names_that_are_not_utf8_are_known_again(fake_detector: FakeDetector, tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"real")
    for suffix in SUFFIXES:
        output = tmp_path / f"predictions{suffix}"
        for _ in range(2):
            arguments = ["detect", str(tmp_path), "--server", fake_detector.address]
            assert CliRunner().invoke(app, [*arguments, "--output", str(output), "--resume"]).exit_code == 0
        assert len(paths(output)) == 1
    assert len(fake_detector.requests) == len(SUFFIXES)


def test_a_parquet_file_of_others_is_not_gone_on_with(tmp_path: Path) -> None:
    table = pyarrow.table({"path": ["a"], "verdict": ["FAKE"], "label": [1]})
    pyarrow.parquet.write_table(table, tmp_path / "labels.parquet")
    (tmp_path / "none.parquet").write_bytes(b"no Parquet at all")
    for path in sorted(tmp_path.iterdir()):
        before = path.read_bytes()
        with pytest.raises(DetectionError, match=path.name), opened(path, resume=True):
            pass
        assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_full_disk_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"

    def fill() -> None:
        with opened(path, resume=False) as output, Path("/dev/full").open("wb") as full:
            # From here on its file is a device that is always full.
            for entry in list(Path("/proc/self/fd").iterdir()):
                if os.path.realpath(entry) == str(path):
                    os.dup2(full.fileno(), int(entry.name))
            output.write(record("a.jpg"))

    with pytest.raises(DetectionError, match="No space left"):
        fill()


@pytest.mark.skipif(os.name == "nt", reason="there nobody can replace an open file")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_whose_file_another_replaced_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    written = path.with_name(path.name + ".jsonl") if suffix == ".parquet" else path
    with opened(path, resume=False) as first:
        first.write(record("a.jpg"))
        with opened(written, resume=True), pytest.raises(DetectionError, match="replaced"):
            first.write(record("b.jpg"))
