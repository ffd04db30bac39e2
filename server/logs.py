"""Log lines: for people on a console, or one JSON object a line for machines.

Whatever a line quotes, the URIs in it lose their user info, query and fragment, where credentials
and presigned signatures stand.
"""

import io
import json
import logging
import os
import re
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the current task works on, or worked on last; on each line of that task."""

# Callers choose names and ids: none of them shall look like a line of its own.
_CONTROL = {code: repr(chr(code))[1:-1] for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}
_AFTER_SCHEME = re.compile(r"(?<=://)[^\s'\"<>]+")
# At debug level these print headers, signatures and query strings, or a line a call that says nothing.
_TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3", "grpc")


def redacted(text: str) -> str:
    """The text with every URI in it cut down to scheme, host and path."""
    return _AFTER_SCHEME.sub(_host_and_path, text) if "://" in text else text


def _host_and_path(found: re.Match[str]) -> str:
    # Up to the last @, as a secret may itself contain one, or a slash.
    return re.split("[?#]", found[0].rpartition("@")[2], maxsplit=1)[0]


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger, message, and the id of the request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = record.message.translate(_CONTROL)
        line = super().formatMessage(record)
        return f"{line}  [{current.translate(_CONTROL)}]" if (current := request_id.get()) else line

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """time (ISO 8601, UTC), level, logger, message, request_id, error with its traceback, and the record's
    `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if current := request_id.get():
            line["request_id"] = redacted(current)
        if record.exc_info:
            line["error"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line | getattr(record, "fields", {}))


class _File(TimedRotatingFileHandler):
    """Says once, on standard error, that it cannot be written: all lines go there, too."""

    _told = False

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        try:
            super().doRollover()
        finally:
            # Else the next line would try again where this failed, as for want of room for a new file, and
            # take away what has been put aside for the day that is over.
            self.rolloverAt = max(self.rolloverAt, self.computeRollover(int(time.time())))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        if not self._told:
            self._told = True
            log.error("the log file cannot be written: %s", sys.exc_info()[1])


def escape_unencodable() -> None:
    """Lets standard output take every text: in cp1252, for example, as escapes where it has no sign."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def configure(
    level: str, style: Literal["console", "json"], file: Path | None = None, keep_days: int = 14
) -> None:
    """Sends all log lines of the process to standard error, and to a file that changes at midnight, UTC.

    Args:
        file: no other process may write it; those of `keep_days` past days are kept beside it.

    Raises:
        OSError: it cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            _File(
                file, "midnight", backupCount=keep_days, encoding="utf-8", utc=True, errors="backslashreplace"
            )
        )
    for handler in handlers:
        handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    # Read when gRPC is loaded, whose core has a format of its own for lines that any caller can cause.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    logging.getLogger("grpc._cython.cygrpc").addFilter(_not_by_callers)
    # Its warnings quote the tracestate that a caller sent.
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)


def _not_by_callers(record: logging.LogRecord) -> bool:
    """False for what any caller can fill the log with: gRPC's tracebacks of what is nobody's error here."""
    # It has gone, just before the first answer was written.
    gone = record.exc_info and type(record.exc_info[1]).__name__ == "ExecuteBatchError"
    # It sent metadata that are not UTF-8, maybe its token, which would be quoted.
    return not (gone or str(record.msg).startswith("Invalid encoding on"))
