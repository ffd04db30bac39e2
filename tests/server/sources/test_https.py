"""https:// against real TLS servers on the loopback interface.

A resolver of the test's own leads names there; that loopback addresses will do is said to the source,
and no setting of the server can say it.
"""

import asyncio
import gc
import logging
import socket
import ssl
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deepfake.v1 import detector_pb2 as pb
from server.detect.media_bytes import MediaBytes
from server.errors import (
    DeadlineExceeded,
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    Overloaded,
    SourceDenied,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
)
from server.sources.fetched import Fetched, sha256
from server.sources.https import Https
from server.sources.source import Sources
from tests.running_server import running_server, stub_of
from tests.server.sources.site import LARGE, PACKED, PHOTO, Site, running_site
from tests.urgencies import soon
from tests.waiting import until_async


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site("media.example", "other.example", "a.cdn.example") as site:
        yield site


Read = Callable[..., Fetched]


@pytest.fixture
def read(site: Site) -> Read:
    """Reads a URI; `:0` in it stands for the port of the site."""
    port = site.server_port

    def read(
        uri: str,
        hosts: Sequence[str] = ("media.example:0", "other.example:0", "*.cdn.example:0"),
        resolve: Callable[[str, int], Sequence[str]] = lambda host, port: ["127.0.0.1"],
        allowed: Sequence[str] = ("127.0.0.1",),
        max_bytes: int = 100_000,
        seconds: float = 10,
        max_seconds: float = 20,
        others: int = 0,
        context: ssl.SSLContext = site.trusting,
    ) -> Fetched:
        source = Https(
            [host.replace(":0", f":{port}") for host in hosts],
            max_seconds,
            resolve=resolve,
            is_allowed=lambda address: address in allowed,
            context=context,
        )
        sources = Sources(max_bytes, 2, {"https": source})
        room = MediaBytes(10**9)
        with room.hold(others), room.hold() as held:
            try:
                uri = uri.replace(":0", f":{port}")
                return asyncio.run(sources.read(uri, soon(seconds), held.add))
            finally:
                sources.close()

    return read


def test_a_medium_comes_with_what_the_site_says_of_it(site: Site, read: Read) -> None:
    fetched = read("https://media.example:0/photo.jpg?signature=abc&x=%20", max_bytes=len(PHOTO))
    assert fetched.content == PHOTO
    facts = fetched.facts
    assert (facts.sha256, facts.etag, facts.content_type) == (sha256(PHOTO), "abc", "image/jpeg")
    assert facts.last_modified is not None
    assert facts.last_modified.isoformat() == "2026-11-22T10:00:00+00:00"
    assert site.visits == [("media.example", "/photo.jpg?signature=abc&x=%20")]


def test_a_site_is_asked_by_its_name_and_port_for_what_it_has_as_it_is(site: Site, read: Read) -> None:
    fetched = read("https://media.example:0/%70acked?a%2Fb")
    assert site.headers["Host"] == f"media.example:{site.server_port}"
    assert site.headers["Accept-Encoding"] == "identity"
    assert site.visits == [("media.example", "/%70acked?a%2Fb")]
    assert fetched.content == PACKED  # nothing is unpacked, whatever it says


def test_no_proxy_is_asked(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read("https://media.example:0/photo.jpg").content == PHOTO


def test_names_below_an_allowed_one_and_redirects_among_allowed_ones(site: Site, read: Read) -> None:
    uri = "https://a.cdn.example:0/to//to/https://other.example:0/photo.jpg"
    assert read(uri).content == PHOTO
    assert [host for host, _ in site.visits] == ["a.cdn.example", "a.cdn.example", "other.example"]


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("https://example.org/a.jpg", SourceNotAllowed),
        ("https://cdn.example:0/photo.jpg", SourceNotAllowed),
        ("https://xcdn.example:0/photo.jpg", SourceNotAllowed),
        ("https://media.example.evil.example:0/photo.jpg", SourceNotAllowed),
        ("https://media.example/photo.jpg", SourceNotAllowed),
        ("https://media.example:22/photo.jpg", SourceNotAllowed),
        ("https://127.0.0.1:0/photo.jpg", SourceNotAllowed),
        ("https://evil.example\\@media.example:0/photo.jpg", InvalidRequest),
        ("https://user:secret@media.example:0/photo.jpg", InvalidRequest),
        ("https:///photo.jpg", InvalidRequest),
        ("https://media.example:99999/photo.jpg", InvalidRequest),
        ("http://media.example:0/photo.jpg", SourceNotAllowed),
        ("https://media.example:0/to/http://media.example/photo.jpg", SourceNotAllowed),
        ("https://media.example:0/to/file:///etc/hostname", SourceNotAllowed),
        ("https://media.example:0/to/https://example.org/photo.jpg", SourceNotAllowed),
        ("https://media.example:0/to/https://user:secret@media.example:0/photo.jpg", InvalidRequest),
        ("https://media.example:0/to/nowhere", SourceUnavailable),
        ("https://media.example:0/to/far-away", SourceUnavailable),
    ],
)
def test_only_what_is_allowed_is_asked(site: Site, read: Read, uri: str, error: type[DetectorError]) -> None:
    with pytest.raises(error) as caught:
        read(uri)
    assert len(site.visits) == ("/to/" in uri)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0"])
def test_by_default_no_name_of_this_machine_leads_anywhere(site: Site, name: str) -> None:
    source = Https([f"*:{site.server_port}"], 10)
    sources = Sources(100, 1, {"https": source})
    uri = f"https://{name}:{site.server_port}/photo.jpg"
    with pytest.raises((SourceNotAllowed, SourceNotFound)):
        asyncio.run(sources.read(uri, soon(10), lambda size: None))
    assert site.visits == []


def test_a_redirect_to_an_address_inside_the_network_is_not_followed(site: Site, read: Read) -> None:
    where = {"media.example": ["127.0.0.1"], "other.example": ["127.0.0.2"]}
    with pytest.raises(SourceNotAllowed) as caught:
        read(
            "https://media.example:0/to/https://other.example:0/photo.jpg",
            resolve=lambda host, port: where[host],
        )
    assert [host for host, _ in site.visits] == ["media.example"]
    assert "127.0.0.2" not in caught.value.message


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(site: Site, read: Read) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    assert read("https://media.example:0/photo.jpg", resolve=lambda host, port: next(answers)).content
    assert next(answers) == ["127.0.0.2"]
    mixed = ["127.0.0.2", "127.0.0.1"]
    assert read("https://media.example:0/photo.jpg", resolve=lambda host, port: mixed).content


def test_the_next_address_is_tried_when_one_does_not_answer(read: Read) -> None:
    # Nobody listens at the first.
    addresses = ["127.0.0.2", "127.0.0.1"]
    uri = "https://media.example:0/photo.jpg"
    assert read(uri, resolve=lambda host, port: addresses, allowed=addresses).content == PHOTO
    with pytest.raises(SourceUnavailable):
        read(uri, resolve=lambda host, port: addresses[:1], allowed=addresses)


def test_no_more_than_three_addresses_are_tried(read: Read) -> None:
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"]
    uri = "https://media.example:0/photo.jpg"
    assert read(uri, resolve=lambda *_: addresses[1:], allowed=addresses).content == PHOTO
    with pytest.raises(SourceUnavailable, match="ConnectError"):
        read(uri, resolve=lambda *_: addresses, allowed=addresses)


def test_an_address_that_answers_is_the_last_one_tried(site: Site, read: Read) -> None:
    with pytest.raises(SourceUnavailable, match="RemoteProtocolError"):
        read("https://media.example:0/endless-headers", resolve=lambda *_: ["127.0.0.1"] * 2)
    assert len(site.visits) == 1


def test_a_certificate_for_another_name_or_from_a_stranger_is_not_trusted(site: Site, read: Read) -> None:
    with pytest.raises(SourceUnavailable):
        read("https://wrong.example:0/photo.jpg", hosts=["*:0"])
    with pytest.raises(SourceUnavailable):
        read("https://media.example:0/photo.jpg", context=ssl.create_default_context())
    assert site.visits == []


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/status/404", SourceNotFound),
        ("/status/410", SourceNotFound),
        ("/status/401", SourceDenied),
        ("/status/403", SourceDenied),
        ("/status/408", SourceUnavailable),
        ("/status/425", SourceUnavailable),
        ("/status/429", SourceUnavailable),
        ("/status/500", SourceUnavailable),
        ("/status/204", SourceUnavailable),
        ("/status/304", SourceUnavailable),
        ("/short", SourceUnavailable),
        ("/to/mailto:x", SourceUnavailable),
        ("/endless-headers", SourceUnavailable),
        ("/to//" + "to//" * 10, SourceUnavailable),
    ],
)
def test_what_goes_wrong_there_is_a_typed_error(read: Read, path: str, error: type[DetectorError]) -> None:
    with pytest.raises(error):
        read(f"https://media.example:0{path}")


def test_who_is_refused_there_is_not_told_of_credentials_that_are_never_sent(read: Read) -> None:
    with pytest.raises(SourceDenied) as caught:
        read("https://media.example:0/status/403")
    assert "no credentials" in caught.value.hint


def test_a_host_that_does_not_exist(read: Read) -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("Name or service not known")

    with pytest.raises(SourceNotFound):
        read("https://media.example:0/photo.jpg", resolve=unknown)


def test_a_look_up_that_fails_for_now_may_be_tried_again(read: Read) -> None:
    def out_of_order(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(SourceUnavailable):
        read("https://media.example:0/photo.jpg", resolve=out_of_order)


@pytest.mark.parametrize(
    "date", ["Fri, 27 Nov 2026 10:00:00 +99999999999999", "Fri, 31 Dec 9999 23:59:59 -1200"]
)
def test_a_date_that_cannot_be_is_not_told(site: Site, read: Read, date: str) -> None:
    site.date = date
    assert read("https://media.example:0/photo.jpg").facts.last_modified is None


def test_size_is_limited_whether_announced_or_not(read: Read) -> None:
    for path in ("/photo.jpg", "/chunked"):
        with pytest.raises(MediaLimitExceeded):
            read(f"https://media.example:0{path}", max_bytes=1000)
    with pytest.raises(Overloaded):
        read("https://media.example:0/chunked", others=10**9 - 50_000, max_bytes=10**7)


async def test_reading_ends_with_its_request_even_if_the_site_sends_no_content(site: Site) -> None:
    host = f"media.example:{site.server_port}"
    sources = Sources(100_000, 1, {"https": site.source([host], 60)})
    began = time.monotonic()
    with MediaBytes(10**9).hold() as held:
        reading = sources.read(f"https://{host}/trickling-header", soon(60), held.add)
        given_up = asyncio.create_task(reading)
        await until_async(lambda: site.visits)
    given_up.cancel()
    fetched = await sources.read(f"https://{host}/photo.jpg", soon(60), MediaBytes(10**9).hold().add)
    assert fetched.content == PHOTO
    sources.close()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("path", ["/trickle", "/trickling-header"])
def test_who_sends_slowly_is_cut_off(site: Site, read: Read, path: str) -> None:
    with pytest.raises(SourceUnavailable, match="took longer"):
        read(f"https://media.example:0{path}", max_seconds=0.5)
    assert site.hung_up.wait(20)
    with pytest.raises(DeadlineExceeded):
        read(f"https://media.example:0{path}", seconds=0.5)


@pytest.mark.parametrize("path", ["/large-and-cut", "/large-and-stalled"])
def test_of_what_could_not_be_read_nothing_is_kept(read: Read, path: str) -> None:
    read("https://media.example:0/photo.jpg")  # what is imported for it stays
    tracemalloc.start()
    gc.disable()
    try:
        with pytest.raises((SourceUnavailable, DeadlineExceeded)):
            read(f"https://media.example:0{path}", max_bytes=10**7, seconds=2)
        assert tracemalloc.get_traced_memory()[0] < LARGE / 2
    finally:
        gc.enable()
        tracemalloc.stop()


def test_the_error_of_a_read_is_in_no_circle(site: Site) -> None:
    host = f"media.example:{site.server_port}"
    uri = urlsplit(f"https://{host}/short")
    gc.disable()
    try:
        with pytest.raises(SourceUnavailable) as told:
            site.source([host], 20).read(uri, 10**6, soon()[1], lambda _: None)
        error = weakref.ref(told.value)
        del told
        assert error() is None
    finally:
        gc.enable()


def test_who_accepts_and_says_nothing_is_left(read: Read) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"media.example:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailable, match="took longer"):
            read(f"https://{host}/photo.jpg", hosts=[host], max_seconds=0.5)


def test_no_signature_is_logged_or_told(site: Site, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceNotFound) as caught:
        read("https://media.example:0/status/404?signature=very-secret")
    assert "very-secret" not in caplog.text + caught.value.message


def test_the_server_reads_none_by_default_and_never_from_itself(models: Path) -> None:
    request = pb.DetectRequest(media=[pb.Medium(uri="https://localhost/photo.jpg")])
    for named in ((), ("localhost", "*")):
        with running_server(models, https_hosts=named) as server, stub_of(server) as stub:
            call: Any = stub.Detect.future(request, timeout=30)
            assert call.code().name == "PERMISSION_DENIED"


def test_the_next_address_is_tried_when_one_swallows_all(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sources.https._IDLE_TIMEOUT_SECONDS", 0.5)
    # Its backlog is full, so that further connections get no answer.
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.2", 0))
        silent.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        addresses = ["127.0.0.2", "127.0.0.1"]
        uri = f"https://media.example:{silent.getsockname()[1]}/photo.jpg"
        with pytest.raises(SourceUnavailable, match="ConnectError"):
            # The second refuses: nobody listens at that port.
            read(
                uri,
                hosts=["*:" + str(silent.getsockname()[1])],
                resolve=lambda *_: addresses,
                allowed=addresses,
            )
