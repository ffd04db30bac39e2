"""The access log: one line for a request that ended."""

import logging

from server.detect.request import STAGES
from server.telemetry import FAILED, Observer, Record

log = logging.getLogger(__name__)


def access_log(which: str) -> Observer | None:
    """What writes the line of a request, for a value of the setting `access_log`; None if none is wanted."""
    return {"none": None, "failures": _if_failed, "all": _write}[which]


def _if_failed(record: Record) -> None:
    if record.outcome == FAILED:
        _write(record)


def _write(record: Record) -> None:
    stages = {stage: seconds for stage in STAGES if (seconds := getattr(record.timing, stage))}
    seconds = {"total": record.seconds, **stages}
    fields = {"method": record.method, "outcome": record.outcome, "reason": record.reason}
    log.info(
        "%s %s in %s%s",
        record.method,
        record.reason or record.outcome,
        ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items()),
        record.message and f": {record.message}",
        extra={"fields": fields | {f"{name}_seconds": round(value, 6) for name, value in seconds.items()}},
    )
