"""The bearer tokens that are valid now, from a file that may change while the server runs."""

import hashlib
import logging
import time
from pathlib import Path

from server.errors import InvalidCredentials
from server.rpc.watched import Watched

log = logging.getLogger(__name__)

_MIN_CHARACTERS = 16
_HASHED = "sha256:"
_LOOK_AGAIN_SECONDS = 1.0


class Tokens:
    """The tokens of a file.

    Each line is NAME TOKEN, or NAME sha256:DIGEST with the token's SHA-256 in hexadecimal digits; empty
    lines and those that start with # are skipped. A name may have several tokens, so that a new one
    can be handed out before the old one is withdrawn.

    Raises:
        InvalidCredentials: the file cannot be read, or a line of it makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched = Watched(path)
        self._names = _read(path)
        self._look_again = time.monotonic() + _LOOK_AGAIN_SECONDS

    def name_of(self, token: str) -> str | None:
        """Whose token it is; None if it is nobody's."""
        self._follow()
        # How long a look-up of a digest takes tells nothing of the token.
        return self._names.get(hashlib.sha256(token.encode()).digest())

    def _follow(self) -> None:
        now = time.monotonic()
        if now < self._look_again:
            return
        self._look_again = now + _LOOK_AGAIN_SECONDS
        if not self._watched.changed():
            return
        try:
            self._names = _read(self._path)
        except InvalidCredentials as error:
            log.error("the former tokens stay valid: %s", error)
        else:
            log.info("%d tokens of %s are valid from now on", len(self._names), self._path)


def _read(path: Path) -> dict[bytes, str]:
    """Names by digest. Messages name the line, never what it holds."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCredentials(f"tokens of {path}: {error}") from error
    tokens = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise InvalidCredentials(f"tokens of {path}: line {number} is not NAME TOKEN")
        tokens[_digest(words[1], f"tokens of {path}: line {number}")] = words[0]
    if not tokens:
        raise InvalidCredentials(f"tokens of {path}: there are none")
    return tokens


def _digest(word: str, place: str) -> bytes:
    if not word.startswith(_HASHED):
        if len(word) < _MIN_CHARACTERS:
            raise InvalidCredentials(f"{place}: a token has at least {_MIN_CHARACTERS} characters")
        return hashlib.sha256(word.encode()).digest()
    try:
        digest = bytes.fromhex(word.removeprefix(_HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise InvalidCredentials(f"{place}: {_HASHED} needs 64 hexadecimal digits")
    return digest
