"""Where a prepared file and its mask lie: where they were, or linked or copied into the data folder."""

import filecmp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from training.datasets.plain import LABEL_FOLDERS, MODALITY_FOLDERS, PLAIN
from training.prepare.journal import ListedFile
from training.prepare.settings import Place

_LABELS = {label: name for name, label in LABEL_FOLDERS.items()}
_MODALITIES = {modality: name for name, modality in MODALITY_FOLDERS.items()}


def place_file(file: ListedFile, output: Path, place: Place) -> str:
    """Puts the file there, unless it is there already; gives its path as the CSVs state it.

    A link is a hard link, or a symbolic one to another file system. In the data folder files lie in
    {real,fake}/{images,videos,audio}/<data set>/<name>.
    """

    def is_there(target: Path) -> bool:
        status = target.stat()
        return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)

    return _placed(Path(file.path), _inside(file), is_there, output, place)


def place_mask(file: ListedFile, output: Path, place: Place) -> str:
    """The same with its mask, at masks/<path of the file>; empty if it has none."""
    if not file.mask:
        return ""
    source = Path(file.mask)

    def is_there(target: Path) -> bool:
        # Another mask of the file may have the size and time of the last, as those of one archive do.
        return filecmp.cmp(source, target, shallow=False)

    return _placed(source, Path("masks", f"{_inside(file)}{source.suffix}"), is_there, output, place)


def _inside(file: ListedFile) -> Path:
    # Names of a plain folder begin with these folders already.
    if file.dataset == PLAIN.name:
        return Path(file.name)
    return Path(_LABELS[file.label], _MODALITIES[file.modality], file.dataset, file.name)


def _placed(
    source: Path, relative: Path, is_there: Callable[[Path], bool], output: Path, place: Place
) -> str:
    if place == "reference":
        return (source.relative_to(output) if source.is_relative_to(output) else source).as_posix()
    target = output / relative
    # Else what changes the one file would change the other, too.
    linked = place == "copy" and target.exists() and (target.is_symlink() or target.samefile(source))
    if target != source and (linked or not (target.exists() and is_there(target))):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        (_link if place == "link" else shutil.copy2)(source, part)
        part.replace(target)  # a kill leaves no half of a file
    return relative.as_posix()


def _link(source: Path, target: Path) -> None:
    try:
        # What a relative link names is not there, seen from elsewhere.
        os.link(source.resolve(), target)
    except OSError:
        target.symlink_to(source)
