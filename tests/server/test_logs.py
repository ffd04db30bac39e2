"""What is logged of requests, and what never is."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2 import inference_pb2
from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server import logs
from tests import media
from tests.certificates import Authority
from tests.media_requests import chunk, detect_request, header
from tests.server_process import ROOT

PHOTO = pb.Medium(content=media.photo_jpeg(64, 48))
NOISE = pb.Medium(content=b"no format at all", name="line\nbreak")


@contextmanager
def logging_server(models: Path, folder: Path, *flags: str) -> Iterator[DetectorStub]:
    """A server process that logs into `folder/server.log` and, the same, into `folder/stderr`."""
    arguments = [
        *(sys.executable, "-m", "server", "--profile", "test", "--log-level", "info", *flags),
        *("--models", str(models), "--log-dir", str(folder)),
    ]
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "own/secret"}
    with (
        (folder / "stderr").open("w") as stderr,
        subprocess.Popen(arguments, stderr=stderr, cwd=ROOT, env=environment) as server,
    ):
        try:
            while not (found := re.search(r"listening on ([\d.:]+)\D", (folder / "stderr").read_text())):
                assert server.poll() is None
                time.sleep(0.05)
            with grpc.insecure_channel(found[1]) as channel:
                yield DetectorStub(channel)
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
        finally:
            server.kill()


def detect(stub: DetectorStub, medium: pb.Medium, request_id: str = "", **metadata: str) -> str:
    """The status that a request ends with."""
    sent = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    call = stub.Detect.future(detect_request(medium, request_id=request_id), timeout=60, metadata=sent)
    return call.code().name


def logged(
    program: str,
    style: str = "console",
    file: Path | None = None,
    keep_days: int = 14,
    level: str = "info",
) -> str:
    """What a program writes to standard error when its log is configured so."""
    begin = f"""
import logging
from pathlib import PosixPath
from server import logs
logs.configure({level!r}, {style!r}, {file!r}, {keep_days})
"""
    command = [sys.executable, "-c", begin + program]
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stderr


def json_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "server.log").read_text().splitlines()]


def test_failed_requests_get_a_line_with_their_id_code_and_timings(models: Path, tmp_path: Path) -> None:
    with logging_server(models, tmp_path, "--log-format", "json") as stub:
        assert detect(stub, NOISE, "my-id") == "INVALID_ARGUMENT"
        assert detect(stub, NOISE, x_request_id="from-the-proxy") == "INVALID_ARGUMENT"
        assert detect(stub, NOISE, "https://host/clip.mp4?X-Amz-Signature=secret") == "INVALID_ARGUMENT"
        assert detect(stub, NOISE) == "INVALID_ARGUMENT"
        assert detect(stub, PHOTO, "fine") == "OK"
        uploaded = stub.DetectUpload.future(iter([header(id="uploaded"), chunk(NOISE.content)]), timeout=60)
        assert uploaded.code().name == "INVALID_ARGUMENT"
    *lines, last = [line for line in json_lines(tmp_path) if line["logger"] == "server.access_log"]
    assert (last["method"], last["request_id"]) == ("DetectUpload", "uploaded")
    ids = [line["request_id"] for line in lines]
    assert ids[:3] == ["my-id", "from-the-proxy", "https://host/clip.mp4"]
    assert len(set(ids)) == len(lines) == 4
    for line in lines:
        assert (line["method"], line["outcome"], line["reason"]) == ("Detect", "FAILED", "UNSUPPORTED_MEDIA")
        assert 0 < line["total_seconds"] < 60
        said = re.search(r"total ([\d.]+) ms", line["message"])
        assert said
        assert float(said[1]) == pytest.approx(1000 * line["total_seconds"], abs=0.06)
        assert "no format at all" not in json.dumps(line)
    assert (tmp_path / "stderr").read_text() == (tmp_path / "server.log").read_text()


def test_requests_with_raw_tensors_have_theirs_too(models: Path, tmp_path: Path) -> None:
    with logging_server(models, tmp_path, "--log-format", "json"):
        (line, *_) = (line for line in json_lines(tmp_path) if "listening on" in line["message"])
        with grpc.insecure_channel(line["message"].split()[-1]) as channel:
            raw = GRPCInferenceServiceStub(channel)
            alone = inference_pb2.ModelInferRequest(model_name="other", id="alone")
            assert raw.ModelInfer.future(alone, timeout=60).code().name == "NOT_FOUND"
            one_of_many = inference_pb2.ModelInferRequest(model_name="other", id="one of many")
            assert next(raw.ModelStreamInfer(iter([one_of_many]), timeout=60)).error_message
    lines = [line for line in json_lines(tmp_path) if line["logger"] == "server.access_log"]
    said = [(line["method"], line["request_id"], line["reason"]) for line in lines]
    assert said == [
        ("ModelInfer", "alone", "MODEL_NOT_FOUND"),
        ("ModelStreamInfer", "one of many", "MODEL_NOT_FOUND"),
    ]


def test_every_request_has_its_line_when_asked(models: Path, tmp_path: Path) -> None:
    with logging_server(models, tmp_path, "--access-log", "all") as stub:
        assert detect(stub, PHOTO, "one") == "OK"
        assert detect(stub, NOISE, "two\nERROR forged") == "INVALID_ARGUMENT"
    lines = [line for line in (tmp_path / "server.log").read_text().splitlines() if "access_log" in line]
    assert len(lines) == 2
    assert "inference" in lines[0]
    assert lines[0].endswith("[one]")
    assert "UNSUPPORTED_MEDIA" in lines[1]
    assert lines[1].endswith(r"[two\nERROR forged]")


def test_secrets_are_never_logged(models: Path, tmp_path: Path) -> None:
    store = ("--s3-buckets", "media", "--s3-endpoint", "http://127.0.0.1:1", "--aws-max-attempts", "1")
    every = ("--log-level", "debug", "--access-log", "all")
    with logging_server(models, tmp_path, *every, *store, "--aws-region", "eu-west-1") as stub:
        for uri in (
            "s3://AKIACALLER:caller/secret@media/photo.jpg",
            "s3://media/photo.jpg?X-Amz-Signature=signature",
            "s3://media/unreachable.jpg",
            "https://user:hunter2@host/photo.jpg?X-Amz-Signature=signature#secret",
            "ftp://user:hunter2@" + 200 * "x",
            "//user:hunter2@[host",
            "s3:AKIACALLER:caller/secret@media",
        ):
            assert detect(stub, pb.Medium(uri=uri), authorization="Bearer my-token") != "OK"
        assert detect(stub, PHOTO, authorization="Bearer my-token") == "OK"
    logged = (tmp_path / "server.log").read_text()
    assert "s3://media/unreachable.jpg" in logged
    for secret in ("my-token", "secret", "signature", "hunter2", "AKIA", "JFIF"):
        assert secret not in logged


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("no object at s3://bucket/a b.jpg", "no object at s3://bucket/a b.jpg"),
        ("https://host/k?X-Amz-Signature=abc: late", "https://host/k late"),
        ("'s3://AKIA:a/b@c+d@bucket/key' and file:///srv/x#y", "'s3://bucket/key' and file:///srv/x"),
        ("no URI, 3 > 2 ? yes", "no URI, 3 > 2 ? yes"),
    ],
)
def test_uris_are_cut_down_to_host_and_path(text: str, wanted: str) -> None:
    assert logs.redacted(text) == wanted


def test_a_traceback_is_cut_down_too() -> None:
    try:
        raise ValueError("http://user:hunter2@host/path?key")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "failed\nbadly", None, sys.exc_info())
        record.msg += "\x85at http://user:hunter2@host/"
    for formatter in (logs.ConsoleFormatter(), logs.JsonFormatter()):
        line = formatter.format(record)
        assert "http://host/path" in line
        assert "hunter2" not in line
    assert r"failed\nbadly\x85at http://host/" in logs.ConsoleFormatter().format(record)


def test_grpc_cannot_be_made_to_log_by_its_callers() -> None:
    lines = logged("""
from grpc._cython import cygrpc
for error in (cygrpc.ExecuteBatchError("gone"), cygrpc.InternalError("told")):
    logging.getLogger("grpc._cython.cygrpc").error("raised in core", exc_info=error)
try:
    b"Bearer secret \\xff".decode()
except UnicodeDecodeError:
    logging.getLogger("grpc._cython.cygrpc").exception("Invalid encoding on %s", b"Bearer secret \\xff")
""")
    assert "told" in lines
    assert "gone" not in lines
    assert "secret" not in lines


def test_callers_cannot_write_into_the_log_by_their_trace(models: Path, tmp_path: Path) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with logging_server(models, tmp_path, "--otlp-endpoint", "http://127.0.0.1:1") as stub:
        assert detect(stub, PHOTO, traceparent=parent, tracestate="hunter2") == "OK"
    assert "hunter2" not in (tmp_path / "stderr").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "server.log").symlink_to("/dev/full")
    program = "for number in range(3): logging.info('line %s', number)"
    lines = logged(program, "json", tmp_path / "server.log").splitlines()
    said = [json.loads(line)["message"] for line in lines]
    assert [message for message in said if message.startswith("line")] == ["line 0", "line 1", "line 2"]
    assert [message for message in said if "No space left" in message] == [said[1]]


def test_strangers_at_a_tls_port_cannot_write_lines_of_another_format(models: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path, "authority").issue("server")
    flags = ("--tls-certificate", str(pair.cert), "--tls-key", str(pair.key), "--log-format", "json")
    with logging_server(models, tmp_path, *flags) as stub:
        # It speaks no TLS.
        assert detect(stub, PHOTO) == "UNAVAILABLE"
    assert (tmp_path / "stderr").read_text() == (tmp_path / "server.log").read_text()


def test_lines_below_the_level_are_left_out() -> None:
    lines = logged("logging.info('soft'); logging.warning('loud')", level="warning")
    assert "loud" in lines
    assert "soft" not in lines


def test_a_line_for_machines_says_when_in_utc_how_bad_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "WEST+9")
    line = json.loads(logged("try: 1 / 0\nexcept ZeroDivisionError: logging.exception('failed')", "json"))
    time = datetime.fromisoformat(line["time"])
    assert time.utcoffset() == timedelta()
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)
    assert (line["level"], line["logger"], line["message"]) == ("error", "root", "failed")
    assert line["error"].endswith("ZeroDivisionError: division by zero")


def test_the_file_changes_at_midnight_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "WEST+9")  # the midnight is that of UTC
    program = """
handler = logging.getLogger().handlers[1]
for day in range(1, 6):
    logging.info("day %s", day)
    handler.rolloverAt = day * 86400
    handler.doRollover()
"""
    folder = tmp_path / "of" / "one"
    logged(program, file=folder / "server.log", keep_days=2)
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["server.log", "server.log.1970-01-04", "server.log.1970-01-05"]
    assert "day 5" in (folder / "server.log.1970-01-05").read_text()


def test_a_disk_that_is_full_at_midnight_takes_away_no_log(tmp_path: Path) -> None:
    program = """
import errno
logging.info("day 1")
handler = logging.getLogger().handlers[1]
handler.rolloverAt = 86400
open_file = handler._open
def full():
    handler._open = open_file
    raise OSError(errno.ENOSPC, "No space left on device")
handler._open = full
for _ in range(3):
    logging.info("day 2")
"""
    logged(program, file=tmp_path / "server.log")
    assert "day 1" in (tmp_path / "server.log.1970-01-01").read_text()
    assert (tmp_path / "server.log").read_text().count("day 2") == 2


def test_a_folder_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    arguments = [sys.executable, "-m", "server", "--log-dir", str(tmp_path / "taken")]
    failed = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert failed.returncode == 2
    assert "log_dir" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_name_that_is_not_utf8_gets_into_the_file(tmp_path: Path) -> None:
    logged(r"logging.info('no file %s', '/caf\udce9.jpg')", file=tmp_path / "server.log")
    assert r"no file /caf\udce9.jpg" in (tmp_path / "server.log").read_text()
