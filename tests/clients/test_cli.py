"""`python -m clients` against a scripted server."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clients import embedded
from clients.__main__ import PANELS_UP_TO, app
from clients.batch import find_media
from clients.predictions import COLUMNS
from clients.s3 import S3
from deepfake.v1 import detector_pb2 as pb
from tests.clients.fake_detector import FakeDetector
from tests.clients.records import by_name, paths
from tests.server_process import ROOT
from tests.waiting import until

# What a shell starts in the background, as these tests may be, has SIGINT ignored.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from clients.__main__ import app
app()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good media, one broken, a note, and a video one folder deeper."""
    media = tmp_path / "media"
    (media / "deeper").mkdir(parents=True)
    (media / "a.jpg").write_bytes(b"real a")
    (media / "b.PNG").write_bytes(b"fake b")
    (media / "c.mp3").write_bytes(b"broken c")
    (media / "notes.txt").write_bytes(b"no medium")
    (media / "deeper" / "d.mp4").write_bytes(b"fake d")
    return media


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Photos, of which each gets no more than a line."""
    for number in range(PANELS_UP_TO + 1):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"real")
    return tmp_path


def run(fake: FakeDetector, *arguments: str | Path) -> Result:
    command, *others = map(str, arguments)
    return CliRunner().invoke(app, [command, "--server", fake.address, *others], env={"COLUMNS": "150"})


def test_one_file_gets_a_panel_with_everything(fake_detector: FakeDetector, folder: Path) -> None:
    result = run(fake_detector, "detect", folder / "b.PNG", "--timeline")
    assert result.exit_code == 0, result.output
    for text in (
        "b.PNG",
        "FAKE",
        "93.8% fake",
        "5 pictures",
        "2 windows",
        "weight 0.75",
        "1.00 – 2.00 s",
        "suspicious audio (channel 1) 1.50 – 2.50 s, up to 75.0%",
        "640 × 360",
        "h264",
        "31 ms",
        "scripted 7",
    ):
        assert text in result.output
    assert fake_detector.requests[0].options.timeline


def test_a_broken_file_costs_only_its_own_answer(fake_detector: FakeDetector, folder: Path) -> None:
    result = run(fake_detector, "detect", folder)
    assert result.exit_code == 1
    assert "CORRUPT_MEDIA" in result.output
    assert "Check that the file opens." in result.output
    assert "1 FAILED, 2 FAKE, 1 REAL" in result.output
    assert "notes.txt" not in result.output


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_output_cannot_encode_stop_nothing(
    fake_detector: FakeDetector, folder: Path, encoding: str
) -> None:
    (folder / "写真.jpg").write_bytes(b"real photo")
    command = [sys.executable, "-m", "clients", "detect", str(folder), "--server", fake_detector.address]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "250"}
    result = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, timeout=60)
    assert b"1 FAILED, 2 FAKE, 2 REAL" in result.stdout, result
    assert rb"\u5199\u771f.jpg" in result.stdout


def test_without_a_runtime_embedded_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["detect", "--embedded", str(folder / "a.jpg")])
    assert (result.exit_code, "MISSING_PACKAGE" in result.output) == (1, True)


def test_windows_has_no_engine_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    result = CliRunner().invoke(app, ["detect", "--embedded", str(folder / "a.jpg")])
    assert (result.exit_code, "UNSUPPORTED_SYSTEM" in result.output) == (1, True)


@pytest.mark.parametrize("name", ["nowhere.jpg", "longer-than-names-can-be" * 20])
def test_a_file_that_is_not_there_does_not_stop_the_rest(
    fake_detector: FakeDetector, folder: Path, name: str
) -> None:
    result = run(fake_detector, "detect", folder / name, folder / "a.jpg")
    assert result.exit_code == 1
    assert "UNREADABLE_FILE" in result.output
    assert "1 FAILED, 1 REAL" in result.output


def test_of_many_files_each_gets_a_line(fake_detector: FakeDetector, many: Path) -> None:
    result = run(fake_detector, "detect", many, "--concurrency", "3")
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert sum(".jpg" in line and line.startswith("REAL") for line in lines) == PANELS_UP_TO + 1
    assert f"{PANELS_UP_TO + 1} REAL" in lines


def test_json_has_the_whole_answer_of_each_file_on_a_line(fake_detector: FakeDetector, folder: Path) -> None:
    result = run(fake_detector, "detect", folder, "--json")
    answers = {Path(answer["path"]).name: answer for answer in map(json.loads, result.stdout.splitlines())}
    assert set(answers) == {"a.jpg", "b.PNG", "c.mp3", "d.mp4"}
    assert answers["b.PNG"]["response"]["verdict"] == "VERDICT_FAKE"
    assert answers["b.PNG"]["response"]["media"][0]["video_codec"] == "h264"
    assert answers["c.mp3"]["error"]["code"] == "CORRUPT_MEDIA"
    assert result.exit_code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_json_holds_names_that_are_not_utf8(fake_detector: FakeDetector, tmp_path: Path) -> None:
    there, missing = (tmp_path / os.fsdecode(name) for name in (b"\xff.jpg", b"\xfe.jpg"))
    there.write_bytes(b"real")
    command = [sys.executable, "-m", "clients", "detect", str(there), str(missing), "--json"]
    done = subprocess.run([*command, "--server", fake_detector.address], capture_output=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(answer["path"]).name for answer in answers} == {r"\udcff.jpg", r"\udcfe.jpg"}
    json.dumps(answers, ensure_ascii=False).encode()  # no lone surrogate anywhere


def test_many_media_give_way_to_others_unless_told_otherwise(fake_detector: FakeDetector, many: Path) -> None:
    run(fake_detector, "detect", many)
    run(fake_detector, "detect", many / "00.jpg")
    run(fake_detector, "detect", many, "--priority", "interactive")
    counts = Counter(request.options.priority for request in fake_detector.requests)
    assert counts == {
        pb.PRIORITY_BATCH: PANELS_UP_TO + 1,
        pb.PRIORITY_UNSPECIFIED: 1,
        pb.PRIORITY_INTERACTIVE: PANELS_UP_TO + 1,
    }


def test_options_reach_the_server(fake_detector: FakeDetector) -> None:
    options = ["--modalities", "image", "--modalities", "audio", "--threshold", "0.25"]
    result = run(
        fake_detector, "detect", "s3://b/k.mp4", *options, "--frames-per-video", "3", "--token", "secret"
    )
    assert result.exit_code == 0, result.output
    request = fake_detector.requests[0]
    assert request.media[0].uri == "s3://b/k.mp4"
    assert request.options == pb.DetectOptions(
        modalities=[pb.MODALITY_IMAGE, pb.MODALITY_AUDIO], threshold=0.25, frames_per_video=3
    )
    assert fake_detector.metadata["authorization"] == "Bearer secret"


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.jsonl"])
def test_predictions_have_a_record_for_each_file(
    fake_detector: FakeDetector, folder: Path, tmp_path: Path, name: str
) -> None:
    result = run(fake_detector, "detect", folder, "--output", tmp_path / name)
    assert result.exit_code == 1
    records = by_name(tmp_path / name)
    assert set(records) == {"a.jpg", "b.PNG", "c.mp3", "d.mp4"}
    assert all(list(record) == COLUMNS for record in records.values())
    expected = {
        "path": folder / "deeper" / "d.mp4",
        "verdict": "FAKE",
        "reason": None,
        "fake_probability": 0.9375,
        "image_probability": 0.9375,
        "image_rows": 5,
        "video_probability": None,
        "video_rows": None,
        "audio_probability": 0.5,
        "audio_rows": 2,
        "kind": "VIDEO",
        "duration_seconds": 4.5,
        "width": 640,
        "height": 360,
        "size_bytes": 6,
        "total_seconds": 0.03125,
        "model_name": "scripted",
        "model_version": "7",
        "error_code": None,
        "error_message": None,
        "error_hint": None,
    }
    assert _as_text(records["d.mp4"]) == _as_text(expected)
    assert records["c.mp3"]["error_code"] == "CORRUPT_MEDIA"
    assert records["c.mp3"]["error_hint"] == "Check that the file opens."
    assert not records["c.mp3"]["verdict"]


def _as_text(record: dict[str, object]) -> dict[str, str]:
    return {key: "" if value is None else str(value) for key, value in record.items()}


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.jsonl"])
def test_resume_asks_only_for_what_has_no_verdict_yet(
    fake_detector: FakeDetector, folder: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    run(fake_detector, "detect", folder / "a.jpg", folder / "c.mp3", "--output", output)
    torn = output.read_text() + output.read_text().splitlines()[-1][:25]
    output.write_text(torn)
    (folder / "c.mp3").write_bytes(b"real after all")
    fake_detector.requests.clear()
    result = run(fake_detector, "detect", folder, "--output", output, "--resume")
    assert result.exit_code == 0, result.output
    assert "1 answered before" in result.output
    assert {request.media[0].name for request in fake_detector.requests} == {"b.PNG", "c.mp3", "d.mp4"}
    assert sorted(Path(path).name for path in paths(output)) == ["a.jpg", "b.PNG", "c.mp3", "d.mp4"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["detect"],
        ["detect", "x.jpg", "--output", "predictions.xlsx"],
        ["detect", "x.jpg", "--resume"],
        ["detect", "x.jpg", "--models", "models"],
        ["model", "--models", "models"],
        ["detect", "x.jpg", "--threshold", "1.5"],
        ["detect", "s3://bucket/x.jpg", "--frames-per-video", "4294967296"],
        ["detect", "x.jpg", "--modalities", "smell"],
    ],
)
def test_wrong_commands_exit_with_2_and_ask_nobody(fake_detector: FakeDetector, arguments: list[str]) -> None:
    assert run(fake_detector, *arguments).exit_code == 2
    assert fake_detector.calls == []


def test_a_linked_folder_is_not_followed_and_that_is_said(fake_detector: FakeDetector, folder: Path) -> None:
    (folder / "deeper" / "back").symlink_to(folder)
    command = [sys.executable, "-m", "clients", "detect", str(folder), "--server", fake_detector.address]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "1 FAILED, 2 FAKE, 1 REAL" in result.stdout
    assert f"'{folder / 'deeper' / 'back'}' is a link to a folder" in result.stderr


def test_a_folder_without_media_is_a_wrong_command(fake_detector: FakeDetector, tmp_path: Path) -> None:
    result = run(fake_detector, "detect", tmp_path)
    assert result.exit_code == 2
    assert "no media" in result.output


def test_a_server_that_is_not_there_is_one_error(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "predictions.csv"
    output.write_text("of an earlier run")
    result = CliRunner().invoke(
        app, ["detect", str(folder), "--server", "127.0.0.1:1", "--timeout", "1", "--output", str(output)]
    )
    assert result.exit_code == 1
    assert output.read_text() == "of an earlier run"
    assert result.output.count("UNAVAILABLE") + result.output.count("DEADLINE_EXCEEDED") == 1


def test_names_cannot_steer_the_terminal(fake_detector: FakeDetector, tmp_path: Path) -> None:
    path = tmp_path / "[red]\x1b[2Jevil.jpg"
    path.write_bytes(b"real")
    result = run(fake_detector, "detect", path)
    assert result.exit_code == 0
    assert "\x1b[2J" not in result.output
    assert "[red]" in result.output


def test_model_says_what_is_served(fake_detector: FakeDetector) -> None:
    result = run(fake_detector, "model")
    assert result.exit_code == 0
    for text in ("scripted 7", "7, 6", "image, audio", "CPUExecutionProvider", "0.35"):
        assert text in result.output
    whole = json.loads(run(fake_detector, "model", "--json").stdout)
    assert whole["manifest"]["thresholds"] == {"real": 0.35, "fake": 0.65}


def test_what_cannot_be_looked_at_is_a_medium_that_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir, is_file = os.scandir, Path.is_file

    def closed(path: Any) -> Any:
        if Path(path).name == "deeper":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def hidden(path: Path) -> bool:
        if path.name == "a.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr("os.scandir", closed)
    monkeypatch.setattr(Path, "is_file", hidden)
    found = [Path(name).name for name in find_media([str(folder)], S3())]
    assert found == ["a.jpg", "b.PNG", "c.mp3", "deeper"]


def test_ctrl_c_ends_the_command_while_a_file_gives_nothing(
    fake_detector: FakeDetector, folder: Path, tmp_path: Path
) -> None:
    pipe, output = tmp_path / "pipe.mp4", tmp_path / "predictions.csv"
    os.mkfifo(pipe)
    arguments = ["--server", fake_detector.address, folder / "a.jpg", pipe, "--output", output]
    command = [sys.executable, "-c", INTERRUPTIBLE, "detect", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: output.exists() and "a.jpg" in output.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert process.stderr
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
