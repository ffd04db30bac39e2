"""The steps of prepare, in order. Each may be killed; the next run goes on where the journal ends."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from training.datasets import find_dataset
from training.datasets.listing import Dataset, MediaFile, Unusable
from training.errors import DataError, LeakError
from training.masks import opened
from training.prepare.groups import Crossing, Groups, form_groups
from training.prepare.inspection import inspect_files
from training.prepare.journal import Inspection, Journal, ListedFile
from training.prepare.links import ANY, Links, read_links
from training.prepare.lists import REJECTED_CSV, write_lists
from training.prepare.page import PAGE, write_page
from training.prepare.settings import PrepareSettings
from training.prepare.summary import Summary, as_table
from training.settings import MODALITIES

JOURNAL = Path(".prepare") / "journal.sqlite"

_HINT = (
    "Correct the splits, leave out the files that tie them together (--on-leak leave-out), "
    "or split anew by identity (--no-official-splits)."
)
_UNPRINTABLE = "characters that cannot be printed"
_LARGE_SHARE = 0.5
_SECONDS_BETWEEN_COMMITS = 0.25


def prepare(settings: PrepareSettings, console: Console) -> Summary:
    """Makes a data folder of the inputs; see `training.prepare.lists` for what is in it.

    Raises:
        DataError: an input has no known layout, or there is nothing to prepare.
        LeakError: the data sets' own splits let a person, a source clip or equal content cross.
    """
    output = settings.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    datasets = {root.resolve(): find_dataset(root, settings.dataset) for root in settings.inputs}
    with closing(Journal(output / JOURNAL)) as journal:
        with console.status("listing files"):
            journal.replace_list(_listed(datasets))
        if settings.place != "reference" and journal.same_names():
            names = ", ".join(journal.same_names())
            raise DataError(f"several inputs have files of one name ({names}), which would take one place")
        _inspect(journal, settings, console)
        with console.status("comparing files"):
            links = read_links(journal.usable(), settings.official_splits)
        if not len(links.same):
            raise DataError(_nothing_usable(journal))
        groups = form_groups(links, settings.seed, settings.on_leak)
        if isinstance(groups, Crossing):
            raise _leak(groups, journal)
        _warn_of_one_large_group(groups, console)
        with console.status("writing the lists"):
            summary = write_lists(journal, links, groups, output, settings.place)
            if not summary.modalities:
                reasons = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.most_common())
                raise DataError(f"every file is left out ({reasons}), see {output / REJECTED_CSV}")
    write_page(summary, output)
    _report(summary, output, _remedy(links), console)
    return summary


def _listed(datasets: dict[Path, Dataset]) -> Iterator[ListedFile]:
    for root, dataset in datasets.items():
        for entry in dataset.read(root):
            yield _listed_file(entry, dataset.name, root)


def _listed_file(entry: MediaFile | Unusable, dataset: str, root: Path) -> ListedFile:
    if isinstance(entry, Unusable):
        file, problem = MediaFile(entry.path, "video", 0, ()), entry.reason
    else:
        file, problem = entry, ""
    size = mtime_ns = 0
    try:
        status = file.path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
    except OSError as error:
        problem = problem or f"MISSING: {error.strerror}"
    if file.mask:
        problem = problem or _problem_of(file.mask)
    # A corpus.csv may name files elsewhere by absolute paths.
    below = file.path.relative_to(root if file.path.is_relative_to(root) else file.path.anchor)
    path, name = str(file.path), below.as_posix()
    mask = "" if problem or not file.mask else str(file.mask)
    if not path.isprintable():
        # Line breaks, and bytes that are no UTF-8, would not survive a CSV.
        path, name, problem = ascii(path), ascii(name), f"NAME: it holds {_UNPRINTABLE}"
        file = replace(file, identities=())  # which may be made of the name
    return ListedFile(
        path,
        dataset,
        name,
        file.modality,
        file.label,
        file.identities,
        file.splits,
        file.manipulation,
        file.compression,
        file.region,
        mask,
        size,
        mtime_ns,
        problem,
    )


def _problem_of(mask: Path) -> str:
    if not str(mask).isprintable():
        return f"MASK: its name holds {_UNPRINTABLE}"
    try:
        # The head alone: each run looks at every mask.
        with opened(mask):
            return ""
    except DataError as error:
        return f"MASK: {error}"


def _inspect(journal: Journal, settings: PrepareSettings, console: Console) -> None:
    count = journal.pending_count()
    if not count:
        return
    done = inspect_files(journal.pending(), settings.workers, settings.decode_timeout_seconds)
    for batch in _timed_batches(track(done, "decoding", count, console=console)):
        journal.record(batch)


def _timed_batches(inspections: Iterable[Inspection]) -> Iterator[list[Inspection]]:
    """What came within a moment: a commit costs a write to disk, a kill what was not committed."""
    batch: list[Inspection] = []
    due = time.monotonic() + _SECONDS_BETWEEN_COMMITS
    for inspection in inspections:
        batch.append(inspection)
        if time.monotonic() >= due:
            yield batch
            batch, due = [], time.monotonic() + _SECONDS_BETWEEN_COMMITS
    if batch:
        yield batch


def _leak(crossing: Crossing, journal: Journal) -> LeakError:
    wanted = set(crossing.files)
    files = {
        file.path: " or ".join(file.splits)
        for number, (file, _) in enumerate(journal.usable())
        if number in wanted
    }
    return LeakError(", ".join(crossing.shared), files, _HINT)


def _nothing_usable(journal: Journal) -> str:
    reasons = "; ".join(f"{path}: {reason}" for path, reason in islice(journal.rejected(), 3))
    return f"there is no usable file ({reasons or 'the folders are empty'})"


def _warn_of_one_large_group(groups: Groups, console: Console) -> None:
    sizes = np.bincount(groups.of_file)
    share = sizes.max() / sizes.sum()
    if share > _LARGE_SHARE:
        name = groups.names[sizes.argmax()]
        message = f"The group of {name} holds {share:.0%} of the files, and a group is not split."
        hint = "If that is because fakes tie people together, --on-leak leave-out splits the people."
        console.print(f"{message} {hint}", style="yellow", markup=False)


def _remedy(links: Links) -> str:
    """What may help if a split lacks a class: seeds do not move files of official splits."""
    if (links.splits == ANY).all():
        return "with few sources another --seed may help"
    return "--no-official-splits makes new splits"


def _report(summary: Summary, output: Path, remedy: str, console: Console) -> None:
    console.print(as_table(summary))
    for reason, count in summary.rejected.most_common():
        console.print(f"{count} files left out: {reason}, see {output / REJECTED_CSV}", style="yellow")
    for gap in summary.gaps():
        console.print(f"{gap}; {remedy}", style="yellow")
    console.print(f"{summary.near_duplicates} files have near duplicates of the same label.")
    console.print(f"Distributions: {output / PAGE}")
    # Videos feed the image model, too.
    fed = {*summary.modalities, *(["image"] if "video" in summary.modalities else [])}
    media = [name for name in MODALITIES if name in fed]
    chosen = "" if len(media) == len(MODALITIES) else f" --media-types {' '.join(media)}"
    console.print(f"Train with: python -m training fit --data-dir {output}{chosen}")
