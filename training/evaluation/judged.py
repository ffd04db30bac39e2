"""What a detector said of labelled files: the one table that every judge fills and every report reads."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from training.errors import DataError
from training.sample import Sample

Voice = Literal["fused", "image", "video", "audio"]
"""Whose probability: the detector's, or that of one of its models."""
VOICES: tuple[Voice, ...] = get_args(Voice)


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One frame, clip or window.

    Attributes:
        modality: of the model: image, video or audio.
        label: 0, 1 or `training.rows.UNCLEAR`.
        start_seconds, end_seconds: 0 for a photo.
        fake_probability: calibrated, in [0, 1].
    """

    modality: str
    label: int
    start_seconds: float
    end_seconds: float
    fake_probability: float


@dataclass(frozen=True, slots=True)
class JudgedFile:
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
    label: int
    kind: str
    group: str = ""
    dataset: str = ""
    manipulation: str = ""
    compression: str = ""
    verdict: str | None = None
    reason: str | None = None
    fake_probability: float | None = None
    image_probability: float | None = None
    video_probability: float | None = None
    audio_probability: float | None = None
    total_seconds: float | None = None
    peak_memory_bytes: int | None = None
    error: str | None = None
    rows: tuple[JudgedRow, ...] = ()

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


COLUMNS = tuple(field.name for field in fields(JudgedFile) if field.name != "rows")
_NUMBERS = ("fake_probability", "image_probability", "video_probability", "audio_probability")


def unjudged(sample: Sample, path: str, dataset: str) -> JudgedFile:
    """The truth about a file, to be completed with an answer.

    Args:
        dataset: where the sample itself names none.
    """
    return JudgedFile(
        path=path,
        label=sample.label,
        kind=sample.modality,
        group=f"{sample.dataset or dataset}/{sample.group}",
        dataset=sample.dataset or dataset,
        manipulation=sample.manipulation,
        compression=sample.compression,
    )


def write_judged(path: Path, files: Iterable[JudgedFile]) -> None:
    """Writes JSONL with all rows, or, if the name ends in .csv, a CSV without them."""
    with path.open("w", newline="", encoding="utf-8") as out:
        if path.suffix.lower() != ".csv":
            out.writelines(json.dumps(asdict(file)) + "\n" for file in files)
            return
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: getattr(file, name) for name in COLUMNS} for file in files)


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
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix.lower() == ".csv":
            yield from ({k: v for k, v in row.items() if v != ""} for row in csv.DictReader(file))
        else:
            yield from (json.loads(line) for line in file if line.strip())


def _read_labels(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise DataError(f"{path} needs the columns path and label")
    # A labels file may name its media relative to itself, as those of `training prepare` do.
    beside = {str((path.parent / row["path"]).resolve()): row for row in rows}
    return beside | {row["path"]: row for row in rows}


def _truth(path: str, known: Mapping[str, dict[str, str]]) -> dict[str, str]:
    if known:
        found = known.get(path) or known.get(str(Path(path).resolve()))
        if found is None:
            raise DataError(f"the labels do not name {path}")
        return found
    folders = [part for part in Path(path).parts[:-1] if part in ("real", "fake")]
    return {"label": folders[-1]} if folders else {}


def _judged(record: Mapping[str, Any], truth: Mapping[str, str]) -> JudgedFile:
    told = {name: record[name] for name in COLUMNS if record.get(name) is not None}
    stated = {name: truth[name] for name in ("group", "dataset", "manipulation", "compression") if name in truth}
    label = truth.get("label", record.get("label"))
    if label is None:
        raise DataError(f"nobody says whether {record['path']} is real or fake: give --labels")
    file = JudgedFile(
        **told
        | stated
        | {
            "label": {"real": 0, "fake": 1}.get(str(label).lower(), label),
            "kind": str(record.get("kind") or "").lower(),
            "error": record.get("error") or record.get("error_message"),
            "rows": tuple(JudgedRow(**row) for row in record.get("rows", ())),
        }
    )
    return replace(
        file,
        label=_binary(file.label),
        group=file.group or file.path,
        total_seconds=_number(file.total_seconds),
        peak_memory_bytes=None if file.peak_memory_bytes is None else int(file.peak_memory_bytes),
        **{name: _number(getattr(file, name)) for name in _NUMBERS},
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _binary(value: Any) -> int:
    if int(value) not in (0, 1):
        raise ValueError(f"a label is 0 or 1, real or fake, not {value!r}")
    return int(value)
