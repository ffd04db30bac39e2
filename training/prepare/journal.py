"""What is known of every file, in one SQLite database that a kill at any moment leaves whole.

Two tables: the list of files as this run found it, and what decoding them gave, which outlives the
run and holds for as long as a file's size and time of change stay the same. All steps read them as
streams, so that a million files need no memory of their own.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from server.media.spec import spec_hash
from training.decode import DECODERS
from training.errors import DataError
from training.sample import SEPARATOR, Region, Split
from training.settings import Modality

_VERSION = f"4 {DECODERS} {spec_hash()}"
"""What other code recorded is found out again. Change the number with tables or fingerprints."""

_PAGE = 1000
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, dataset TEXT, name TEXT, modality TEXT, label INTEGER, identities TEXT,
    splits TEXT, manipulation TEXT, compression TEXT, region TEXT, mask TEXT, size INTEGER,
    mtime_ns INTEGER, problem TEXT);
CREATE INDEX IF NOT EXISTS in_order ON files (dataset, name, path);
CREATE TABLE IF NOT EXISTS inspections (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, modality TEXT, found TEXT, passing INTEGER,
    content_hash TEXT, fingerprint BLOB, duration_seconds REAL, warnings TEXT);
CREATE TEMP VIEW known AS
    SELECT files.*, found, passing, content_hash, fingerprint, duration_seconds, warnings
    FROM files LEFT JOIN inspections ON inspections.path = files.path AND inspections.size = files.size
    AND inspections.mtime_ns = files.mtime_ns AND inspections.modality = files.modality;
"""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file as its data set and the file system tell of it.

    Attributes:
        name: path relative to the data set's folder; with `dataset` the order of everything.
        mask: path of it, or empty.
        problem: why it cannot be used, or empty.
    """

    path: str
    dataset: str
    name: str
    modality: Modality
    label: int
    identities: tuple[str, ...]
    splits: tuple[Split, ...]
    manipulation: str
    compression: str
    region: Region
    mask: str
    size: int
    mtime_ns: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What decoding a file gave.

    Attributes:
        problem: why it cannot be used, or empty.
        passing: whether the problem may pass by itself, such as a timeout; then it is tried again.
        fingerprint: 32 bytes, or None if the medium is too plain to have one.
        warnings: of the decoder; empty if there was nothing to say.
    """

    path: str
    size: int
    mtime_ns: int
    modality: Modality
    problem: str = ""
    passing: bool = False
    content_hash: str = ""
    fingerprint: bytes | None = None
    duration_seconds: float = 0.0
    warnings: str = ""


class Journal:
    """The database of a data folder; only one process has it open.

    Raises:
        DataError: another process has.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._forget_other_versions()
            self._database.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise DataError(f"{path} is in use by another prepare, or not writable: {error}") from error

    def close(self) -> None:
        self._database.close()

    def replace_list(self, files: Iterable[ListedFile]) -> None:
        """Makes these the files of this run; one that comes twice counts once."""
        insert = "INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        with self._transaction():
            self._database.execute("DELETE FROM files")
            self._database.executemany(insert, map(_file_row, files))

    def pending_count(self) -> int:
        """How many files are still to be inspected."""
        query = "SELECT COUNT(*) FROM known WHERE problem = '' AND (found IS NULL OR passing)"
        (count,) = self._database.execute(query).fetchone()
        return int(count)

    def pending(self) -> Iterator[ListedFile]:
        """The files still to be inspected; recording some of them meanwhile is fine."""
        query = (
            "SELECT * FROM known WHERE problem = '' AND (found IS NULL OR passing) AND path > ? "
            "ORDER BY path LIMIT ?"
        )
        last = ""
        while page := self._database.execute(query, [last, _PAGE]).fetchall():
            yield from map(_listed_file, page)
            last = page[-1][0]

    def record(self, inspections: Iterable[Inspection]) -> None:
        """Adds these, for good."""
        insert = "INSERT OR REPLACE INTO inspections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        with self._transaction():
            self._database.executemany(insert, map(astuple, inspections))

    def usable(self) -> Iterator[tuple[ListedFile, Inspection]]:
        """Files without a problem, in an order that depends on data sets and names only."""
        query = "SELECT * FROM known WHERE problem = '' AND found = '' ORDER BY dataset, name, path"
        for row in self._database.execute(query):
            file = _listed_file(row)
            found = row[len(_FILE_COLUMNS) :]
            yield file, Inspection(file.path, file.size, file.mtime_ns, file.modality, *found)

    def rejected(self) -> Iterator[tuple[str, str]]:
        """Path of each other file and its problem, in the same order."""
        yield from self._database.execute(
            "SELECT path, CASE problem WHEN '' THEN found ELSE problem END AS reason FROM known "
            "WHERE reason != '' ORDER BY dataset, name, path"
        )

    def same_names(self) -> list[str]:
        """Some names that several files of one data set have, as folders prepared together may."""
        rows = self._database.execute(
            "SELECT name FROM files WHERE problem = '' GROUP BY dataset, name HAVING COUNT(*) > 1 LIMIT 3"
        )
        return [name for (name,) in rows]

    def _forget_other_versions(self) -> None:
        self._database.execute("CREATE TABLE IF NOT EXISTS version (text TEXT)")
        if self._database.execute("SELECT text FROM version").fetchall() == [(_VERSION,)]:
            return
        with self._transaction():
            self._database.execute("DROP TABLE IF EXISTS files")
            self._database.execute("DROP TABLE IF EXISTS inspections")
            self._database.execute("DELETE FROM version")
            self._database.execute("INSERT INTO version VALUES (?)", [_VERSION])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _file_row(file: ListedFile) -> tuple[object, ...]:
    return tuple(
        SEPARATOR.join(map(str, cell)) if isinstance(cell, tuple) else cell for cell in astuple(file)
    )


def _listed_file(row: tuple[Any, ...]) -> ListedFile:
    cells = dict(zip(_FILE_COLUMNS, row, strict=False))
    for name in ("identities", "splits"):
        cells[name] = tuple(cells[name].split(SEPARATOR))
    cells["region"] = tuple(map(float, cells["region"].split(SEPARATOR)))
    return ListedFile(**cells)


_FILE_COLUMNS = [field.name for field in fields(ListedFile)]
