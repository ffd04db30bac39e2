"""The clients and the real server, on real media and a tiny graph."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from clients import AsyncDetector, DetectionError, Detector, tls
from clients.__main__ import app
from clients.requests import UPLOAD_ABOVE
from deepfake.v1 import detector_pb2 as pb
from tests import media
from tests.certificates import Authority
from tests.clients.records import by_name
from tests.running_server import running_server
from tests.server_process import ROOT


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    with running_server(models) as server:
        yield server.address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo, a video with sound, a sound, a sound that is too large for one message, and a broken file."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "photo.jpg").write_bytes(media.photo_jpeg())
    (folder / "video.mp4").write_bytes(media.video_mp4())
    (folder / "sound.mp3").write_bytes(media.speech_mp3())
    (folder / "long.wav").write_bytes(media.tone_wav(60.0))
    (folder / "broken.jpg").write_bytes(media.photo_jpeg()[:300])
    assert (folder / "long.wav").stat().st_size > UPLOAD_ABOVE
    return folder


def test_a_folder_gets_its_verdicts_and_the_broken_file_its_error(
    address: str, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    for _ in range(2):  # the broken file has not hurt the server
        result = CliRunner().invoke(
            app, ["detect", str(folder), "--server", address, "--output", str(output)]
        )
        assert result.exit_code == 1, result.output
        records = by_name(output)
        assert records.pop("broken.jpg")["error_code"] == "CORRUPT_MEDIA"
        assert {name: record["kind"] for name, record in records.items()} == {
            "photo.jpg": "IMAGE",
            "video.mp4": "VIDEO",
            "sound.mp3": "AUDIO",
            "long.wav": "AUDIO",
        }
        assert all(record["verdict"] and not record["error_code"] for record in records.values())
        assert int(records["long.wav"]["size_bytes"]) == (folder / "long.wav").stat().st_size


def test_both_clients_and_all_calls_agree(address: str, folder: Path) -> None:
    paths = sorted(path for path in folder.iterdir() if path.name != "broken.jpg")
    with Detector(address) as detector:
        alone = {path: detector.detect(path).fake_probability for path in paths}
        streamed = dict(detector.detect_many(paths))
    for path in paths:
        answer = streamed[path]
        assert isinstance(answer, pb.DetectResponse)
        assert answer.fake_probability == pytest.approx(alone[path], abs=1e-5)


async def test_asyncio_agrees_too(address: str, folder: Path) -> None:
    path = folder / "video.mp4"
    with Detector(address) as plain:
        expected = plain.detect(path).fake_probability
    async with AsyncDetector(address) as detector:
        assert (await detector.detect(path)).fake_probability == pytest.approx(expected, abs=1e-5)
        assert (await detector.model()).name == "tiny"
        with pytest.raises(DetectionError, match="CORRUPT_MEDIA"):
            await detector.detect(folder / "broken.jpg")


def test_no_server_is_needed_when_it_is_embedded(models: Path, folder: Path) -> None:
    arguments = ["detect", str(folder / "photo.jpg"), "--embedded", "--models", str(models)]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    assert "photo.jpg" in result.output
    assert "model tiny 1" in result.output


def test_an_embedded_server_leaves_the_ports_of_others_alone(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("DEEPFAKE_METRICS_PORT", str(taken.getsockname()[1]))
        arguments = ["detect", str(folder / "photo.jpg"), "--embedded", "--models", str(models)]
        assert CliRunner().invoke(app, arguments).exit_code == 0


def test_an_embedded_server_needs_no_more_files_than_usual(models: Path, folder: Path) -> None:
    command = ["sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh", sys.executable, "-m", "clients", "detect"]
    arguments = [str(folder / "photo.jpg"), "--embedded", "--models", str(models)]
    ended = subprocess.run(
        [*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    )
    assert ended.stderr == ""
    assert "model tiny 1" in ended.stdout


def test_this_machine_is_reached_without_the_proxy_of_others(
    address: str, models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    photo = str(folder / "photo.jpg")
    for arguments in (
        ["health", "--server", address],
        ["detect", photo, "--server", address.replace("127.0.0.1", "localhost")],
        ["detect", photo, "--embedded", "--models", str(models)],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    with Detector(address) as detector:
        detector.model()


def test_files_that_are_no_certificates_are_told_at_once(address: str, folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    mine, other = authority.issue("mine"), authority.issue("other")
    photo = str(folder / "photo.jpg")
    for wrong in (["--ca", photo], ["--cert", str(mine.cert), "--key", str(other.key)]):
        result = CliRunner().invoke(app, ["health", "--server", address, *wrong])
        assert result.exit_code == 2
        assert "no TLS with" in result.output


def test_old_certificates_that_grpc_takes_are_taken(tmp_path: Path) -> None:
    key, nobody, now = rsa.generate_private_key(65537, 1024), x509.Name([]), datetime.now(UTC)
    unsigned = x509.CertificateBuilder(nobody, nobody, key.public_key(), 1, now, now + timedelta(days=1))
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(unsigned.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls(cert=cert_file, key=key_file)


def test_embedded_says_when_there_is_no_model(folder: Path, tmp_path: Path) -> None:
    for command in (["detect", str(folder / "photo.jpg")], ["model"]):
        result = CliRunner().invoke(app, [*command, "--embedded", "--models", str(tmp_path)])
        assert result.exit_code == 1
        assert "embedded server" in result.output
        assert "MODEL_NOT_FOUND" in result.output


def test_probes_see_whether_the_server_is_ready(address: str) -> None:
    for patience in ([], ["--timeout", "inf"]):
        ready = CliRunner().invoke(app, ["health", "--server", address, *patience])
        assert (ready.exit_code, ready.output) == (0, "SERVING\n")
    gone = CliRunner().invoke(app, ["health", "--server", "127.0.0.1:1"])
    assert gone.exit_code == 1
