"""The CSVs of a data folder: nine of samples, and what was left out or looks alike.

{train,val,test}{,_videos,_audio}.csv   see `training.sample.Sample`; its checks are
    decoded     a decoder of the server gave rows
    complete    without any warning
    unique      no other file of its label has nearly the same content
rejected.csv            path and reason of every other file
near_duplicates.csv     pairs of nearly the same content; each pair is in one group
"""

import csv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.files import list_name
from training.prepare.groups import Groups
from training.prepare.journal import Inspection, Journal, ListedFile
from training.prepare.links import Index, Links
from training.prepare.place import place_file, place_mask
from training.prepare.settings import Place
from training.prepare.summary import Summary
from training.sample import COLUMNS, SPLITS, Sample, Split, cells
from training.settings import MODALITIES

REJECTED_CSV = "rejected.csv"
NEAR_DUPLICATES_CSV = "near_duplicates.csv"
_HEADINGS: dict[str, tuple[str, ...]] = {
    **{list_name(modality, split): COLUMNS for modality in MODALITIES for split in SPLITS},
    REJECTED_CSV: ("path", "reason"),
    NEAR_DUPLICATES_CSV: ("path", "other"),
}


def write_lists(journal: Journal, links: Links, groups: Groups, output: Path, place: Place) -> Summary:
    """Writes all CSVs and puts the files into place; a kill leaves no CSV half written."""
    summary = Summary()
    paths: dict[int, str] = {}
    # That a fake looks like its original is as it should be.
    copies = links.near[links.labels[links.near[:, 0]] == links.labels[links.near[:, 1]]]
    repeated = _marked(copies.ravel(), links)
    kept = _kept(links, groups)
    compared = _marked(links.near.ravel(), links) | _marked(kept[kept != np.arange(len(kept))], links)
    contradictory = _contradictory(links)
    with _writers(output) as writers:
        for path, reason in journal.rejected():
            writers[REJECTED_CSV].writerow((path, reason))
            summary.reject(reason)
        for number, (file, inspection) in enumerate(journal.usable()):
            if compared[number]:
                paths[number] = file.path
            reason = _reason(number, kept, groups, contradictory, paths)
            if reason:
                writers[REJECTED_CSV].writerow((file.path, reason))
                summary.reject(reason)
                continue
            path, mask = place_file(file, output, place), place_mask(file, output, place)
            group = groups.of_file[number]
            unique = not repeated[number]
            sample = _sample(path, mask, file, inspection, groups.names[group], groups.splits[group], unique)
            writers[list_name(sample.modality, sample.split)].writerow(cells(sample))
            summary.add(sample)
        writers[NEAR_DUPLICATES_CSV].writerows(
            (paths[one], paths[other]) for one, other in links.near.tolist()
        )
    return summary


def _reason(
    number: int, kept: Index, groups: Groups, contradictory: NDArray[np.bool_], paths: dict[int, str]
) -> str:
    """Why a usable file is left out; empty if it is not."""
    if groups.leaking[number]:
        return "LEAK: it ties two splits together"
    if contradictory[number]:
        return "CONTRADICTION: the same bytes are labelled real and fake"
    if kept[number] != number:
        return f"DUPLICATE: the same bytes as {paths[int(kept[number])]}"
    return ""


def _sample(
    path: str, mask: str, file: ListedFile, inspection: Inspection, group: str, split: Split, unique: bool
) -> Sample:
    checks = {"decoded": True, "complete": not inspection.warnings, "unique": unique}
    return Sample(
        path=path,
        modality=file.modality,
        label=file.label,
        split=split,
        group=group,
        manipulation=file.manipulation,
        region=file.region,
        identities=file.identities,
        compression=file.compression,
        dataset=file.dataset,
        duration_seconds=inspection.duration_seconds,
        content_hash=inspection.content_hash,
        checks=tuple(name for name, passed in checks.items() if passed),
        mask=mask,
    )


def _marked(numbers: Index, links: Links) -> NDArray[np.bool_]:
    """True for the files of these numbers: bool [F]."""
    marked = np.zeros(len(links.same), bool)
    marked[numbers] = True
    return marked


def _kept(links: Links, groups: Groups) -> Index:
    """The first file with the same bytes that does not leak; a leaking file's own number if all do."""
    numbers = np.arange(len(links.same))
    safe = numbers[~groups.leaking]
    first = numbers.copy()
    first[links.same[safe[::-1]]] = safe[::-1]  # the last one written stays
    return np.where(groups.leaking, numbers, first[links.same])


def _contradictory(links: Links) -> NDArray[np.bool_]:
    """Files whose bytes are also those of a file with the other label."""
    lowest, highest = links.labels.copy(), links.labels.copy()
    np.minimum.at(lowest, links.same, links.labels)
    np.maximum.at(highest, links.same, links.labels)
    return np.asarray((lowest != highest)[links.same])


@contextmanager
def _writers(output: Path) -> Iterator[dict[str, Any]]:
    parts = {name: output / f"{name}.part" for name in _HEADINGS}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(part.open("w", newline="", encoding="utf-8"))
            for name, part in parts.items()
        }
        writers = {name: csv.writer(file) for name, file in files.items()}
        for name, writer in writers.items():
            writer.writerow(_HEADINGS[name])
        yield writers
    for name, part in parts.items():
        part.replace(output / name)
