"""TLS and mutual TLS: real handshakes on a real socket."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from clients import AsyncDetector, DetectionError, Detector, tls
from clients.__main__ import app
from server.app import Server
from server.errors import InvalidCredentials
from tests import media
from tests.certificates import Authority, Pair
from tests.running_server import running_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.issue("client")


@pytest.fixture(scope="module")
def mutual(models: Path, authority: Authority) -> Iterator[Server]:
    """A server that asks its clients for a certificate."""
    pair = authority.issue("server")
    with running_server(
        models, tls_certificate=pair.cert, tls_key=pair.key, tls_client_ca=authority.pem
    ) as server:
        yield server


def refused(server: Server, credentials: grpc.ChannelCredentials | None) -> str:
    detector = Detector(server.address, credentials=credentials, retries=0)
    with detector, pytest.raises(DetectionError) as caught:
        detector.model(timeout=10)
    return caught.value.code


async def test_both_clients_over_mutual_tls(mutual: Server, authority: Authority, own: Pair) -> None:
    credentials = tls(authority.pem, own.cert, own.key)
    with Detector(mutual.address, credentials=credentials) as detector:
        assert detector.detect(media.photo_jpeg(64, 48)).verdict
    async with AsyncDetector(mutual.address, credentials=credentials) as asynchronous:
        assert (await asynchronous.detect(media.photo_jpeg(64, 48))).verdict
        # By another channel than single calls.
        assert [answer async for _, answer in asynchronous.detect_many([media.photo_jpeg(64, 48)])]


def test_the_command_line_over_mutual_tls(
    mutual: Server, authority: Authority, own: Pair, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(media.photo_jpeg(64, 48))
    flags = ["--ca", str(authority.pem), "--cert", str(own.cert), "--key", str(own.key)]
    asked = CliRunner().invoke(app, ["detect", "--server", mutual.address, *flags, str(photo)])
    assert asked.exit_code == 0, asked.output
    environment = {
        "DETECTOR_CA": str(authority.pem),
        "DETECTOR_CERT": str(own.cert),
        "DETECTOR_KEY": str(own.key),
    }
    asked = CliRunner().invoke(app, ["model", "--server", mutual.address], env=environment)
    assert asked.exit_code == 0, asked.output
    assert CliRunner().invoke(app, ["model", "--cert", str(own.cert)]).exit_code == 2


def test_who_is_no_peer_gets_nowhere(mutual: Server, authority: Authority, own: Pair, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    theirs = stranger.issue("client")
    for credentials in (
        None,
        tls(authority.pem),
        tls(authority.pem, theirs.cert, theirs.key),
        tls(stranger.pem, own.cert, own.key),
    ):
        assert refused(mutual, credentials) == "UNAVAILABLE"


def shown(server: Server, authority: Authority) -> str:
    """The certificate that a new connection sees."""
    host, port = server.address.rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)), ca_certs=str(authority.pem), timeout=10)


def test_a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("server")
    with (
        running_server(models, tls_certificate=pair.cert, tls_key=pair.key) as server,
        Detector(server.address, credentials=tls(authority.pem), retries=0) as detector,
    ):
        assert detector.model().name
        first = shown(server, authority)
        authority.issue("server")
        second = shown(server, authority)
        assert second != first
        pair.key.write_bytes(Authority(tmp_path, "other").issue("other").key.read_bytes())
        assert shown(server, authority) == second
        assert "the former certificate stays in use" in caplog.text
        # The connection from before lives on.
        assert detector.model().name


def test_another_client_ca_is_used_without_a_restart(models: Path, tmp_path: Path) -> None:
    authority, renewed = Authority(tmp_path, "authority"), Authority(tmp_path, "renewed")
    pair, client = authority.issue("server"), renewed.issue("client")
    signs = tmp_path / "signs.pem"
    signs.write_bytes(authority.pem.read_bytes())
    credentials = tls(authority.pem, client.cert, client.key)
    with running_server(models, tls_certificate=pair.cert, tls_key=pair.key, tls_client_ca=signs) as server:
        assert refused(server, credentials) == "UNAVAILABLE"
        signs.write_bytes(renewed.pem.read_bytes())
        with Detector(server.address, credentials=credentials) as detector:
            assert detector.model().name


def test_a_client_ca_that_is_none_stops_the_start(models: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path, "authority").issue("server")
    (tmp_path / "text").write_text("no PEM")
    with (
        pytest.raises(InvalidCredentials),
        running_server(models, tls_certificate=pair.cert, tls_key=pair.key, tls_client_ca=tmp_path / "text"),
    ):
        pass


@pytest.mark.parametrize("broken", ["missing", "key of another", "no PEM"])
def test_files_that_cannot_be_used_stop_the_start(models: Path, tmp_path: Path, broken: str) -> None:
    authority = Authority(tmp_path, "authority")
    pair, other = authority.issue("server"), authority.issue("other")
    key = {"missing": tmp_path / "nothing", "key of another": other.key, "no PEM": tmp_path / "text"}[broken]
    (tmp_path / "text").write_text("no PEM")
    with (
        pytest.raises(InvalidCredentials, match=str(key)),
        running_server(models, tls_certificate=pair.cert, tls_key=key),
    ):
        pass


def test_plain_text_beyond_this_machine_is_warned_of(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_server(models):
        assert "plain text" not in caplog.text
    with running_server(models, host="0.0.0.0"):
        assert "media travel in plain text" in caplog.text
