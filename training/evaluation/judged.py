"""What a detector said of labelled files: the one table that every judge fills and every report reads."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from training.errors import DataError
from training.sample import Sample

Voice = Literal["fused", "image", "video", "audio"]
"""Whose probability: the detector's, or that of one of its models."""
VOICES: tuple[Voice, ...] = get_args(Voice)
_Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One frame, clip or window.

    Attributes:
        modality: of the model: image, video or audio.
        label: 0, 1 or `training.labels.UNCLEAR`.
        start_seconds, end_seconds: 0 for a photo.
        fake_probability: calibrated, in [0, 1].
    """

    modality: str
    label: int
    start_seconds: float
    end_seconds: float
    fake_probability: _Probability


class JudgedFile(BaseModel, frozen=True):
    """One file with its truth and its answer; the names of columns are those of the client's predictions.

    Attributes:
        path: of the file.
        label: 0 real, 1 fake.
        kind: image, video or audio.
        group: identity of the source; files of one group are not independent of each other.
        dataset, manipulation, compression: what the results are told apart by.
        verdict: REAL, FAKE or INCONCLUSIVE; None if the file could not be judged at all.
        fake_probability: fused, in [0, 1]; None if nothing could be judged.
        image_probability, video_probability, audio_probability: of the models that took part.
        total_seconds: from asking to answer.
        peak_memory_bytes: of the detector while it worked on this file alone.
        error: why there is no verdict.
        rows: as far as the judge tells them.
    """

    path: str
    label: Literal[0, 1]
    kind: str
    group: str = ""
    dataset: str = ""
    manipulation: str = ""
    compression: str = ""
    verdict: str | None = None
    reason: str | None = None
    fake_probability: _Probability | None = None
    image_probability: _Probability | None = None
    video_probability: _Probability | None = None
    audio_probability: _Probability | None = None
    total_seconds: float | None = None
    peak_memory_bytes: int | None = None
    error: str | None = None
    rows: tuple[JudgedRow, ...] = ()

    def answered(self, **answer: Any) -> "JudgedFile":
        """The same file with these attributes."""
        return self.model_copy(update=answer)

    def probability(self, voice: Voice) -> float | None:
        """What this voice said; None if it took no part."""
        match voice:
            case "fused":
                return self.fake_probability
            case "image":
                return self.image_probability
            case "video":
                return self.video_probability
            case "audio":
                return self.audio_probability


def verdict_of(probability: float, real_threshold: float, fake_threshold: float) -> str:
    """REAL at or below the one threshold, FAKE at or above the other, INCONCLUSIVE between them."""
    if probability >= fake_threshold:
        return "FAKE"
    return "REAL" if probability <= real_threshold else "INCONCLUSIVE"


COLUMNS = tuple(name for name in JudgedFile.model_fields if name != "rows")


def unjudged(sample: Sample, path: str, dataset: str) -> JudgedFile:
    """The truth about a file, to be completed with an answer.

    Args:
        dataset: where the sample itself names none.
    """
    return JudgedFile(
        path=path,
        label=1 if sample.label else 0,
        kind=sample.modality,
        group=f"{sample.dataset or dataset}/{sample.group}",
        dataset=sample.dataset or dataset,
        manipulation=sample.manipulation,
        compression=sample.compression,
    )


_STATED = ("group", "dataset", "manipulation", "compression")
_LABELS = {"real": 0, "0": 0, "fake": 1, "1": 1}


def write_judged(path: Path, files: Iterable[JudgedFile]) -> None:
    """Writes JSONL with all rows, or, if the name ends in .csv, a CSV without them."""
    with path.open("w", newline="", encoding="utf-8") as out:
        if path.suffix.lower() != ".csv":
            out.writelines(file.model_dump_json() + "\n" for file in files)
            return
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(file.model_dump(exclude={"rows"}) for file in files)


def read_judged(path: Path, labels: Path | None = None) -> list[JudgedFile]:
    """Reads what `write_judged` or the client's batch mode wrote.

    A label is the record's own, or that of the CSV `labels` (columns path and label, and any of
    group, dataset, manipulation, compression), or what a folder named real or fake says.

    Raises:
        DataError: not such a file, or a file in it has no label.
    """
    known = _read_labels(labels) if labels else {}
    try:
        return [_judged(record, _truth(record["path"], known)) for record in _records(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a table of predictions: {error!r}") from error


def _records(path: Path) -> Iterator[dict[str, Any]]:
    # Names of files need not be UTF-8, nor did clients before always write them as such.
    with path.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        if path.suffix.lower() == ".csv":
            yield from ({k: v for k, v in row.items() if v != ""} for row in csv.DictReader(file))
        else:
            yield from (json.loads(line) for line in file if line.strip())


def _read_labels(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval=""))
    except UnicodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as such") from error
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise DataError(f"{path} needs the columns path and label")
    labels: dict[str, object] = {}
    for row in rows:
        if "\0" in row["path"]:
            raise DataError(f"{path} names {row['path']!a}, with a zero byte, which no system has")
        label = _label(row["label"])
        if labels.setdefault(row["path"], label) != label:
            raise DataError(f"{path} gives {row['path']} two labels")
    # A labels file may name its media relative to itself, as those of `training prepare` do.
    beside = {str((path.parent / row["path"]).resolve()): row for row in rows}
    return beside | {row["path"]: row for row in rows}


def _label(told: object) -> object:
    # JSON may hold true or 1.0, as it does from pandas.
    return _LABELS.get(str(told).lower(), told)


def _truth(path: str, known: Mapping[str, dict[str, str]]) -> dict[str, str]:
    if known:
        found = known.get(path) or known.get(str(Path(path).resolve()))
        if found is None:
            raise DataError(f"the labels do not name {path}")
        return found
    folders = [part for part in Path(path).parts[:-1] if part in ("real", "fake")]
    return {"label": folders[-1]} if folders else {}


def _judged(record: Mapping[str, Any], truth: Mapping[str, str]) -> JudgedFile:
    label = truth.get("label", record.get("label"))
    if label is None:
        raise DataError(f"nobody says whether {record['path']} is real or fake: give --labels")
    told = {name: record[name] for name in (*COLUMNS, "rows") if record.get(name) is not None}
    stated = {name: truth[name] for name in _STATED if name in truth}
    told |= stated | {
        "label": _label(label),
        "kind": str(record.get("kind") or "").lower(),
        "group": stated.get("group") or record.get("group") or record["path"],
        "error": record.get("error") or record.get("error_message"),
    }
    try:
        return JudgedFile.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"not a table of predictions: {where} of {record['path']} is {first['input']!r}: {first['msg']}"
        ) from error
