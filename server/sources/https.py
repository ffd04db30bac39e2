"""https:// URIs, from allowed hosts and public addresses only."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from server.errors import (
    DeadlineExceeded,
    DetectorError,
    InvalidRequest,
    MediaLimitExceeded,
    SourceDenied,
    SourceNotAllowed,
    SourceNotFound,
    SourceUnavailable,
    missing_package,
)
from server.sources.addresses import is_public
from server.sources.fetched import Fetched, Hold, SourceFacts, sha256
from server.sources.hosts import HTTPS_PORT, ascii_name, matches, parse

if TYPE_CHECKING:
    import httpx

_MAX_REDIRECTS = 5
_MAX_ADDRESSES = 3
# Without a connection, or without another byte.
_IDLE_TIMEOUT_SECONDS = 10.0
# Between looks whether anybody still waits for the medium.
_POLL_SECONDS = 0.5
# Characters that are kept of a header, in which a site may have put anything.
_MAX_HEADER = 256
_NOT_FOUND = frozenset({404, 410})
_TRY_LATER = frozenset({408, 425, 429})

Resolve = Callable[[str, int], Sequence[str]]


def addresses_of(host: str, port: int) -> list[str]:
    """What DNS says now. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Https:
    """Reads from `hosts`, over TLS with a valid certificate, without a proxy.

    Each URI, also one that a redirect leads to, is resolved once and checked anew, and the connection
    goes to an address that was checked: DNS cannot say something else a moment later.

    Args:
        hosts: as `server.sources.hosts` reads them.
        max_seconds: for one medium, redirects included.
        resolve, is_allowed, context: how to look up names, which addresses will do, whom to trust.

    Raises:
        MissingPackage: the extra `https` is not installed.
        ValueError: a host is none.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        max_seconds: float,
        *,
        resolve: Resolve = addresses_of,
        is_allowed: Callable[[str], bool] = is_public,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = [parse(host) for host in hosts]
        self._max_seconds = max_seconds
        self._resolve, self._is_allowed = resolve, is_allowed
        if hosts:
            _check_installed()
            self._context = context or ssl.create_default_context()

    def read(self, uri: SplitResult, max_bytes: int, deadline: float, hold: Hold) -> Fetched:
        """The content behind `uri`. Raises SourceError, MediaLimitExceeded, DeadlineExceeded, Overloaded."""
        if not self._hosts:
            raise SourceNotAllowed(
                "this server does not read https URIs", "Send the bytes, or set --https-hosts."
            )
        left = deadline - time.monotonic()
        # A loop of its own, since only then has every step an end: a handshake, headers or a body that
        # trickle. A look-up has the system's own.
        try:
            return asyncio.run(self._read(uri, max_bytes, left, hold))
        except DetectorError as error:
            # Loop and tasks that it went through hold it: circles, with what was read and its caller's media.
            error.__context__ = None
            raise error.with_traceback(None) from None

    async def _read(self, uri: SplitResult, max_bytes: int, left: float, hold: Hold) -> Fetched:
        seconds = min(left, self._max_seconds)
        try:
            async with asyncio.timeout(seconds):
                return await _while_wanted(self._follow(uri, max_bytes, hold), hold)
        except TimeoutError as error:
            if left < self._max_seconds:
                raise DeadlineExceeded("the deadline passed while the medium was being read") from error
            raise SourceUnavailable(f"{uri.hostname} took longer than {seconds:g} seconds") from error

    async def _follow(self, uri: SplitResult, max_bytes: int, hold: Hold) -> Fetched:
        import httpx

        for _ in range(_MAX_REDIRECTS + 1):
            place = self._place(uri)
            # A client for each step: a connection whose certificate was checked for one host is not
            # used for another at the same address.
            client = httpx.AsyncClient(verify=self._context, trust_env=False, timeout=_IDLE_TIMEOUT_SECONDS)
            async with client, aclosing(await self._get(client, place)) as response:
                if not response.has_redirect_location:
                    _check_status(response.status_code, place)
                    return await _medium(response, place, max_bytes, hold)
            uri = _redirected(place, response.headers["location"])
        raise SourceUnavailable(f"more than {_MAX_REDIRECTS} redirects")

    def _place(self, uri: SplitResult) -> "_Place":
        """Raises InvalidRequest, SourceNotAllowed."""
        place = _parse(uri)
        if not any(matches(name, place.host) and port == place.port for name, port in self._hosts):
            raise SourceNotAllowed(
                f"this server does not read from {place.authority}", "Send the bytes, or ask the operator."
            )
        return place

    async def _get(self, client: "httpx.AsyncClient", place: "_Place") -> "httpx.Response":
        """The start of the answer from the first address that can be reached."""
        import httpx

        *others, last = await self._addresses(place)
        with _typed_errors(place):
            for address in others:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await client.send(_request(client, place, address), stream=True)
            return await client.send(_request(client, place, last), stream=True)

    async def _addresses(self, place: "_Place") -> list[str]:
        """Those of the host that may be connected to."""
        try:
            found = await asyncio.to_thread(self._resolve, place.host, place.port)
        except (OSError, UnicodeError) as error:
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                raise SourceUnavailable(f"{place.host} cannot be looked up at the moment") from error
            raise SourceNotFound(f"there is no host {place.host}") from error
        allowed = [address for address in found if self._is_allowed(address)]
        if not allowed:
            # Not which address it is: that is nobody's business out there.
            raise SourceNotAllowed(f"{place.host} is not on the open internet")
        return allowed[:_MAX_ADDRESSES]


async def _while_wanted(reading: Coroutine[None, None, Fetched], hold: Hold) -> Fetched:
    """Ends reading soon after its request: a site that trickles would keep a reader from all others."""
    task = asyncio.create_task(reading)
    try:
        while not task.done():
            hold(0)
            await asyncio.wait([task], timeout=_POLL_SECONDS)
        return await task
    finally:
        task.cancel()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a URI points, in parts that can no longer be misunderstood."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        # Without the query, which may hold a signature.
        return f"https://{self.authority}{self.target.partition('?')[0]}"


def _parse(uri: SplitResult) -> _Place:
    if uri.scheme != "https":
        raise SourceNotAllowed(f"a redirect leads to {uri.scheme}://, which this server does not read")
    try:
        host = ascii_name(uri.hostname or "")
        port = uri.port or HTTPS_PORT
    except ValueError as error:
        raise InvalidRequest("the URI has no valid host and port") from error
    if not host:
        raise InvalidRequest("the URI has no host")
    if uri.username is not None or uri.password is not None:
        raise InvalidRequest("a URI with a user name or password is not read")
    target = quote(uri.path or "/", safe="/%:@!$&'()*+,;=~")
    if uri.query:
        target += "?" + quote(uri.query, safe="/%:@!$&'()*+,;=~?")
    return _Place(host, port, target)


def _redirected(place: _Place, location: str) -> SplitResult:
    try:
        return urlsplit(urljoin(f"https://{place.authority}{place.target}", location))
    except ValueError as error:
        raise SourceUnavailable(f"{place} redirects to what is no URI") from error


def _request(client: "httpx.AsyncClient", place: _Place, address: str) -> "httpx.Request":
    literal = f"[{address}]" if ":" in address else address
    return client.build_request(
        "GET",
        f"https://{literal}:{place.port}{place.target}",
        headers={"Host": place.authority, "Accept": "*/*", "Accept-Encoding": "identity"},
        extensions={"sni_hostname": place.host},
    )


def _check_status(status: int, place: _Place) -> None:
    if status == 200:
        return
    if status in _NOT_FOUND:
        raise SourceNotFound(f"nothing is at {place}")
    if status in _TRY_LATER or not 400 <= status < 500:
        raise SourceUnavailable(f"{place} answered with status {status}")
    raise SourceDenied(
        f"{place} answered with status {status}",
        "This server has no credentials for it: send the bytes, or a URI that needs none or is signed anew.",
    )


async def _medium(response: "httpx.Response", place: _Place, max_bytes: int, hold: Hold) -> Fetched:
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise MediaLimitExceeded(f"{place} has {announced[:20]} bytes; the limit is {max_bytes}")
    body = bytearray()
    try:
        with _typed_errors(place):
            # As it was sent: nothing is decompressed.
            async for chunk in response.aiter_raw():
                if len(body) + len(chunk) > max_bytes:
                    raise MediaLimitExceeded(f"{place} is longer than the limit of {max_bytes} bytes")
                hold(len(chunk))
                body += chunk
    except BaseException:
        body.clear()  # a reader that is cancelled leaves circles, too
        raise
    content = bytes(body)
    return Fetched(content, _facts(response, content))


def _facts(response: "httpx.Response", content: bytes) -> SourceFacts:
    headers = response.headers
    try:
        changed = parsedate_to_datetime(headers["last-modified"])
        changed = changed.replace(tzinfo=changed.tzinfo or UTC).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        changed = None
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    kind = headers.get("content-type", "")
    return SourceFacts(sha256(content), etag[:_MAX_HEADER], kind[:_MAX_HEADER], changed)


@contextmanager
def _typed_errors(place: _Place) -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceUnavailable(f"{place} could not be read: {type(error).__name__}") from error


def _check_installed() -> None:
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        raise missing_package("--https-hosts needs httpx", "https") from error
    # They would write whole URIs into the log, signatures included.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
