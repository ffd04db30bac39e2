"""Predictions in Parquet; needs the extra `parquet`."""

import importlib.util
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

from clients.errors import missing_package
from clients.predictions import Prediction

ROWS_AT_ONCE = 10_000


def check_installed() -> None:
    """Raises DetectionError if pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise missing_package("Parquet files need pyarrow", "parquet")


def write(records: Iterable[dict[str, Any]], path: Path) -> None:
    """Writes `path` at once or not at all, with few records in memory at a time."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema(_fields())
    fresh = path.with_name(path.name + ".new")
    remaining = iter(records)
    with ParquetWriter(fresh, schema) as writer:
        while rows := list(islice(remaining, ROWS_AT_ONCE)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(rows, schema))
    fresh.replace(path)


def columns(path: Path) -> list[str]:
    """Their names; none if it is no Parquet file."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            return [str(name) for name in file.schema_arrow.names]
    except ArrowInvalid:
        return []


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Every record, with few in memory at a time."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _fields() -> Iterator[tuple[str, Any]]:
    import pyarrow

    types = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    for name, annotation in get_type_hints(Prediction).items():
        python = next(kind for kind in (get_args(annotation) or (annotation,)) if kind in types)
        yield name, types[python]
