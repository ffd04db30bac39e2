"""Which hosts may be named: HOST or *.HOST, or * for all, with :PORT for another port than 443."""

import re
from urllib.parse import urlsplit

# Several hosts with commas or blanks between them would otherwise pass for one.
_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+")
HTTPS_PORT = 443


def parse(text: str) -> tuple[str, int]:
    """Name and port, as `ascii_name` writes names. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.netloc != text or "@" in text:
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    name = ascii_name(parts.hostname)
    if not _NAME.fullmatch(name) or (name == "*" and parts.hostname != "*"):
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    return name, parts.port or HTTPS_PORT


def ascii_name(host: str) -> str:
    """As DNS knows it. Raises ValueError."""
    return host.rstrip(".").encode("idna").decode("ascii").lower()


def matches(name: str, host: str) -> bool:
    """Whether a host is one of those that are meant by a name that `parse` gave."""
    return name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]))
