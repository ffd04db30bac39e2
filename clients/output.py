"""Files of predictions that survive a crash: CSV, JSON lines and Parquet.

Each record is written before the next medium is judged. A file that is continued keeps its records
with a verdict; what failed is judged again, and a line torn by a crash is left out.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from clients import parquet
from clients.errors import DetectionError
from clients.predictions import COLUMNS, Prediction
from clients.requests import utf8

SUFFIXES = (".csv", ".jsonl", ".parquet")
JSON_BEGIN = f'{{"{COLUMNS[0]}": '
"""Of each line that is written as JSON."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Output:
    """An open file of predictions.

    Attributes:
        done: paths that had a verdict already, as `utf8` writes them: the file has no others.
        write: adds a record.
    """

    done: frozenset[str]
    write: Callable[[Prediction], None]

    def lacks(self, path: str) -> bool:
        """Whether the path has no verdict yet."""
        return utf8(path) not in self.done


@contextmanager
def opened(path: Path, *, resume: bool) -> Iterator[Output]:
    """Opens a file for predictions; its suffix says the format.

    A Parquet file cannot grow, so its records gather in NAME.parquet.jsonl until the context ends well.

    Args:
        resume: continue what an earlier run has written; otherwise that is lost.

    Raises:
        DetectionError: it cannot be written, is to be continued and not of predictions, or Parquet is wanted
            and pyarrow is not installed.
    """
    if path.suffix.lower() != ".parquet":
        with _opened_text(path, resume) as output:
            yield output
        return
    parquet.check_installed()
    journal = path.with_name(path.name + ".jsonl")
    with _writable():
        if resume and path.exists() and not journal.exists():
            _check_ours(path, parquet.columns(path))
            _rewrite(journal, parquet.records(path))
    with _opened_text(journal, resume) as output:
        yield output
    with _writable():
        parquet.write(_records(journal), path)
        journal.unlink()


@contextmanager
def _opened_text(path: Path, resume: bool) -> Iterator[Output]:
    with _writable():
        earlier = resume and path.exists()
        if earlier:
            _check_ours(path, _columns(path))
        done = _rewrite(path, _records(path) if earlier else ())
        file = _open(path, "a")
    write = _writer(path, file)

    def write_through(prediction: Prediction) -> None:
        with _writable():
            write(asdict(prediction))
            file.flush()
            ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
        if not ours:
            problem = f"{path} has been replaced since: is another run writing it?"
            raise DetectionError("UNWRITABLE_FILE", problem, "Give each run an --output of its own.")

    try:
        yield Output(done, write_through)
    finally:
        with _writable():
            file.close()


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        problem = f"{where}{error.strerror or error}"
        raise DetectionError("UNWRITABLE_FILE", problem, "Make room, or name another --output.") from error


def _columns(path: Path) -> Iterable[str]:
    """Of the first record; those of predictions if there is none, or only the torn begin of ours."""
    with _open(path, "r") as file:
        if _is_csv(path):
            return next(csv.reader(file), COLUMNS)
        line = file.readline()
    torn = JSON_BEGIN.startswith(line[: len(JSON_BEGIN)]) and not line.endswith("\n")
    return _from_json(line) or (COLUMNS if torn else ())


def _check_ours(path: Path, found: Iterable[str]) -> None:
    """Raises DetectionError if to go on would lose what somebody else wrote."""
    if others := set(found) ^ set(COLUMNS):
        raise DetectionError(
            "OTHER_COLUMNS",
            f"{path} has other columns than predictions have: {', '.join(sorted(others))}",
            "Name another --output, or leave out --resume to write it anew.",
        )


def _rewrite(path: Path, records: Iterable[Record]) -> frozenset[str]:
    """Makes `path` a file of those records that hold a verdict, at once or not at all; their paths."""
    done = set()
    fresh = path.with_name(path.name + ".new")
    with _open(fresh, "w") as file:
        if _is_csv(path):
            csv.writer(file).writerow(COLUMNS)
        write = _writer(path, file)
        for record in records:
            if record["verdict"]:
                write(record)
                done.add(utf8(record["path"]))
    fresh.replace(path)
    return frozenset(done)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _open(path: Path, mode: str) -> TextIO:
    # The last line of a file torn by a crash need not be UTF-8, nor names in what older versions wrote.
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")  # type: ignore[return-value]


def _writer(path: Path, file: TextIO) -> Callable[[Record], object]:
    if _is_csv(path):
        rows = csv.DictWriter(file, COLUMNS)
        return lambda record: rows.writerow(_valid(record))
    return lambda record: file.write(json.dumps(_valid(record), ensure_ascii=False) + "\n")


def _valid(record: Record) -> Record:
    """With names in UTF-8: of one that is not, pandas and others would read none of the file."""
    return {key: utf8(value) if isinstance(value, str) else value for key, value in record.items()}


def _records(path: Path) -> Iterator[Record]:
    """Every whole record."""
    with _open(path, "r") as file:
        for record in csv.DictReader(file) if _is_csv(path) else map(_from_json, file):
            if set(record) == set(COLUMNS) and (None not in record.values() or not _is_csv(path)):
                yield record


def _from_json(line: str) -> Record:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}
